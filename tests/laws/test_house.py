"""Sizes of the house: what can be read at one sitting, and how much a signature asks of its caller.

How many modules a folder has is a law of `test_architecture.py`.
"""

import ast

from bench import house

LINES, FUNCTION, PARAMETERS = 350, 50, 8
TESTS = house.ROOT / "tests"

KERNEL = "passes/connectivity/tensor_cores/kernel.py:_product"  # tensors and numbers, since a kernel takes no dataclass
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


def test_no_signature_is_too_long():
    assert {name for count, name in house.parameters(TREES) if count > PARAMETERS} <= {KERNEL}


def mirrored(test):
    """Whether a test stands where the module is that it is about, or the folder."""
    home, name = test.parent.relative_to(TESTS), test.stem.removeprefix("test_")
    module = house.ROOT / home / name
    return module.with_suffix(".py").exists() or module.is_dir() or home.name == name


def is_tested(module):
    """Whether a module has a test of its own, or its folder has tests, or that above which enters it."""
    home = TESTS / module.relative_to(house.ROOT).parent
    homes = [home, home.parent] if home.parent.parent != TESTS else [home]
    return any(any(one.glob("test_*.py")) for one in homes)


def test_tests_stand_where_the_modules_do():
    tests = [test for home in house.HOMES for test in (TESTS / home).rglob("test_*.py")]
    assert len(tests) > 300 and [str(test) for test in tests if not mirrored(test)] == []
    modules = [path for path in FILES if path.name != "__init__.py" and path.is_relative_to(house.ROOT)]
    assert [str(path) for path in modules if not is_tested(path)] == []


def test_the_measures_see_what_they_are_about():
    source = 'def f(self, a, *, b):\n    """One."""\n    x = 1\n    return x\n'
    trees, files = {house.ROOT / "m.py": ast.parse(source)}, {house.ROOT / "m.py": source}
    assert list(house.lengths(files)) == [(4, "m.py")] and list(house.function_lengths(trees)) == [(2, "m.py:f")]
    assert list(house.parameters(trees)) == [(2, "m.py:f")] and list(house.folders(files)) == [(1, ".")]
