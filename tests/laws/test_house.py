"""Sizes of the house: what can be read at one sitting, and how much a signature asks of its caller.

How many modules a folder has is a law of `test_architecture.py`.
"""

import ast

from bench import house

LINES, FUNCTION, PARAMETERS = 350, 50, 8

# Signatures that ask for more, and why.
MORE_PARAMETERS = {
    "models/planted/ffn.py:build": "ten properties of a network that have nothing to do with each other",
    "passes/anneal/edges/anneal.py:confirm": "one entry for all tests of edges, each of which reads some of them",
    "passes/connectivity/tensor_cores/kernel.py:_product": "a kernel, which takes tensors and numbers and no dataclass",
    "runtime/calibrate/level_sweep.py:sweep": "a public function: what is swept, judged by what, each a keyword",
    "runtime/cli/commands/sweep.py:sweep": "its arguments and its groups of options",
}
FILES = {
    path: path.read_text(encoding="utf-8") for home in house.HOMES for path in sorted((house.ROOT / home).rglob("*.py"))
}
TREES = {path: ast.parse(text) for path, text in FILES.items()}


def above(places, most):
    return [f"{name} ({count})" for count, name in house.largest(places) if count > most]


def test_no_file_is_too_long():
    assert above(house.lengths(FILES), LINES) == []


def test_no_function_is_too_long():
    assert above(house.function_lengths(TREES), FUNCTION) == []


def test_no_signature_is_too_long_without_a_reason():
    found = {name for count, name in house.parameters(TREES) if count > PARAMETERS}
    assert found == set(MORE_PARAMETERS)


def test_the_measures_see_what_they_are_about():
    source = 'def f(self, a, *, b):\n    """One."""\n    x = 1\n    return x\n'
    trees, files = {house.ROOT / "m.py": ast.parse(source)}, {house.ROOT / "m.py": source}
    assert list(house.lengths(files)) == [(4, "m.py")] and list(house.function_lengths(trees)) == [(2, "m.py:f")]
    assert list(house.parameters(trees)) == [(2, "m.py:f")] and list(house.folders(files)) == [(1, ".")]
