import ast
import doctest
import importlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from modules import HOMES, MODULES, ROOT, tree

MAY_IMPORT = {
    "ir": {"ir"},
    "passes": {"passes", "ir"},
    "runtime": {"runtime", "passes", "ir"},
    "models": {"models", "ir"},
}
LAYERED = [name for name in MODULES if name.split(".")[1:2] and name.split(".")[1] in HOMES]

# What changes a graph of onnx_ir. Methods; the front three change its initializers as well.
MUTATING = {
    *("replace_nodes_and_values", "register_initializer", "replace_all_uses_with", "replace_input_with"),
    *("insert_before", "insert_after", "sort", "resize_outputs", "rename_values", "remove_nodes"),
}
FIELDS = {"shape", "const_value"}  # assigned
MAPPINGS = {"metadata_props", "meta", "attributes", "initializers", "opset_imports"}  # an entry assigned or deleted
LISTS = {"graph", "inputs", "outputs", "initializers", "functions", "nodes"}  # changed by one of
CHANGES = {"remove", "append", "extend", "insert", "pop", "clear", "update", "setdefault"}
# Who may, all of it (None) or some of it, and why. The folder of the rewriter; modules for the rest.
MAY_MUTATE = {
    "scission.passes.rewrite": None,
    "scission.ir.io.load": {"sort", "shape", "opset_imports"},  # what a file says, made sound
    "scission.ir.io.tensors": {"const_value", "attributes"},  # the same
    "scission.ir.io.put_back": {"metadata_props"},  # of protos
    "scission.ir.graph.functions": {"metadata_props"},  # a mark in a copy, gone before the copy is handed on
    "scission.ir.graph.shapes": {"meta", "shape", "const_value"},  # what inference found, and hollow weights for it
    # marks in a copy that is thrown away
    "scission.runtime.compare.exercise": {"insert_before", "graph", "opset_imports"},
    "scission.passes.explain.touched": {"metadata_props"},
    "scission.runtime.compare.selections": {"insert_before"},
    "scission.runtime.inputs.sizes.size_facts": {  # a copy that ONNX infers shapes of, in which inputs may be constants
        "shape",
        "const_value",
        "inputs",
        "register_initializer",
    },
    "scission.runtime.tune.form_race": {"shape"},  # a submodel that is raced and thrown away
}
MOST_MODULES = 16  # its __init__ counted
HEAVY = {"torch", "onnxruntime", "onnx_ir", "onnx", "numpy", "scipy"}


def imports(module):
    """(level, dotted name) of every import anywhere in a module."""
    for n in ast.walk(tree(module)):
        if isinstance(n, ast.Import):
            yield from ((0, alias.name) for alias in n.names)
        elif isinstance(n, ast.ImportFrom):
            yield from [(n.level, n.module)] if n.module else ((n.level, alias.name) for alias in n.names)


def test_every_module_is_known():
    assert len(MODULES) > 25 and {name.split(".")[1] for name in LAYERED} == set(HOMES)


@pytest.mark.parametrize("module", MODULES)
def test_imports_inside_the_package_are_relative(module):
    assert [name for level, name in imports(module) if level == 0 and name.split(".")[0] == "scission"] == []


@pytest.mark.parametrize("module", LAYERED)
def test_imports_point_one_way(module):
    layer = module.split(".")[1]
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    for level, name in imports(module):
        if level:
            parts = package.split(".")[: len(package.split(".")) - level + 1] + name.split(".")
            assert parts[0] == "scission" and parts[1] in MAY_IMPORT[layer] | {"__version__"}, f"{'.' * level}{name}"


FOLDERS = {path.parent for path in MODULES.values() if path.parent != ROOT / "src" / "scission"}


def folder(name):
    """The dotted folder of a dotted module."""
    return name if MODULES[name].name == "__init__.py" else name.rpartition(".")[0]


def promised(home, field):
    """What the docstring of a folder lists behind `Entry:` or `May import:`."""
    text = ast.get_docstring(ast.parse((home / "__init__.py").read_text(encoding="utf-8")))
    found = re.search(rf"^{field}: (.+?)\.$", text, re.MULTILINE | re.DOTALL)
    assert found, f"{home}: the docstring of a folder has a line `{field}: ….`"
    return {each.strip(" `\n") for each in found[1].split(",")} - {"nothing"}


def targets(module):
    """The dotted modules of the package that a module imports."""
    base = folder(module).split(".")
    for n in ast.walk(tree(module)):
        if isinstance(n, ast.ImportFrom) and n.level:
            full = ".".join([*base[: len(base) - n.level + 1], *(n.module or "").split(".")]).rstrip(".")
            names = [f"{full}.{alias.name}" for alias in n.names]
            yield from (name if name in MODULES else full for name in names)


@pytest.mark.parametrize("home", sorted(FOLDERS), ids=lambda home: str(home.relative_to(ROOT)))
def test_a_folder_imports_what_its_docstring_lists_and_no_more(home):
    own = f"scission.{'.'.join(home.relative_to(ROOT).parts)}"
    used = {folder(target) for name, path in MODULES.items() if path.parent == home for target in targets(name)}
    assert {name.removeprefix("scission.") for name in used - {own, "scission"}} == promised(home, "May import")


@pytest.mark.parametrize("home", sorted(FOLDERS), ids=lambda home: str(home.relative_to(ROOT)))
def test_the_entry_of_a_folder_is_there(home):
    own = f"scission.{'.'.join(home.relative_to(ROOT).parts)}"
    for entry in promised(home, "Entry"):
        module, _, name = entry.rpartition(".")
        assert name in {
            n.name
            for n in ast.parse(MODULES[f"{own}.{module}"].read_text(encoding="utf-8")).body
            if isinstance(n, ast.FunctionDef | ast.ClassDef)
        }, entry


def test_folders_import_each_other_in_no_circle():
    import graphlib

    arrows = {
        str(home): {str(ROOT / name.replace(".", "/")) for name in promised(home, "May import")} for home in FOLDERS
    }
    assert list(graphlib.TopologicalSorter(arrows).static_order())


@pytest.mark.parametrize("home", sorted(FOLDERS), ids=lambda home: str(home.relative_to(ROOT)))
def test_a_folder_has_a_handful_of_modules(home):
    assert len(list(home.glob("*.py"))) <= MOST_MODULES


@pytest.mark.parametrize("home", sorted(FOLDERS), ids=lambda home: str(home.relative_to(ROOT)))
def test_every_folder_is_packaged(home):
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    assert f"scission.{'.'.join(home.relative_to(ROOT).parts)}" in packages


@pytest.mark.parametrize("module", [name for name in LAYERED if name.startswith("scission.ir")])
def test_the_nouns_know_neither_torch_nor_onnxruntime(module):
    assert {name.split(".")[0] for level, name in imports(module) if not level}.isdisjoint({"torch", "onnxruntime"})


def changed_fields(target):
    """What an assignment to, or a deletion of, this expression changes of a graph."""
    for n in ast.walk(target):
        if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store) and ast.unparse(n.value) != "self":
            yield from FIELDS & {n.attr}
        elif isinstance(n, ast.Subscript) and not isinstance(n.ctx, ast.Load) and isinstance(n.value, ast.Attribute):
            yield from MAPPINGS & {n.value.attr}


def changed_by_calls(call):
    """What a call changes of a graph: by the name of a method, or by that of the mapping or list that it belongs to."""
    if not isinstance(call.func, ast.Attribute) or ast.unparse(call.func.value) == "np":
        return
    yield from MUTATING & {call.func.attr}
    owner = call.func.value
    if call.func.attr in CHANGES and isinstance(owner, ast.Attribute) and ast.unparse(owner.value) != "self":
        yield from (MAPPINGS | LISTS) & {owner.attr}


def mutations(module):
    """(line, what) of everything in a module that changes a graph."""
    for n in ast.walk(tree(module)):
        if isinstance(n, ast.Assign | ast.Delete):
            yield from ((n.lineno, what) for target in n.targets for what in changed_fields(target))
        elif isinstance(n, ast.AugAssign | ast.AnnAssign):
            yield from ((n.lineno, what) for what in changed_fields(n.target))
        elif isinstance(n, ast.Call):
            yield from ((n.lineno, what) for what in changed_by_calls(n))


@pytest.mark.parametrize("module", [name for name in LAYERED if not name.startswith("scission.models")])
def test_only_one_folder_changes_graphs(module):
    allowed = next((what for name, what in MAY_MUTATE.items() if f"{module}.".startswith(f"{name}.")), set())
    assert allowed is None or [(line, what) for line, what in mutations(module) if what not in allowed] == []


def test_the_law_of_mutation_sees_what_it_is_about():
    seen = {what for name in MODULES if name.startswith("scission.passes.rewrite.") for _, what in mutations(name)}
    assert seen > {*FIELDS, "metadata_props", "meta", "initializers", "inputs", "replace_nodes_and_values"}


def test_nobody_is_allowed_to_change_what_he_leaves_alone():
    spare = {
        name: what - {each for _, each in mutations(name)} for name, what in MAY_MUTATE.items() if what is not None
    }
    assert not any(spare.values()), spare


def loaded_by(*arguments):
    """Which heavy packages a fresh Python has imported at its end; lazily deferred ones count as not imported.

    What a command imports, it imports in a process of its own unless it is told not to have one.
    """
    code = (
        "import sys, runpy, atexit, types\n"
        "atexit.register(lambda: print('\\nLOADED', *sorted(m for m in sys.modules if '.' not in m)))\n"
        f"sys.argv = {list(arguments)!r}\n"
        + ("import scission\n" if not arguments else "runpy.run_module('scission', run_name='__main__')\n")
    )
    alone = os.environ | {"SCISSION_IN_PROCESS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=alone)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("LOADED")[2].split())


def test_importing_the_package_imports_nothing_heavy():
    assert loaded_by() & HEAVY == set()


def test_asking_for_help_imports_neither_torch_nor_onnxruntime_nor_onnx_ir():
    assert loaded_by("scission", "--help") & {"torch", "onnxruntime", "onnx_ir"} == set()


def test_every_public_name_can_be_had():
    scission = importlib.import_module("scission")
    assert all(getattr(scission, name) is not None for name in scission.__all__)
    assert set(scission.__all__) == set(dir(scission))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        scission.nonsense  # noqa: B018 - the access is the test


def opened(name):
    """A module; the test is skipped where it needs a package that is not there, as models and other tools have."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        return pytest.fail(str(error)) if str(error.name).startswith("scission") else pytest.skip(f"needs {error.name}")


@pytest.mark.parametrize("name", [name for name in MODULES if name != "scission.__main__"])
def test_every_module_imports_and_its_examples_hold(name):
    module = opened(name)
    assert Path(module.__file__) == MODULES[name]
    assert module.__doc__, "every module says what it is for"
    assert doctest.testmod(module, verbose=False).failed == 0


@pytest.mark.parametrize("name", [name for name in LAYERED if MODULES[name].name != "__init__.py"])
def test_what_a_module_promises_is_there(name):
    module = opened(name)
    assert all(hasattr(module, promised) for promised in module.__all__)
    assert name.rpartition(".")[2] not in vars(importlib.import_module(name.rpartition(".")[0])) or isinstance(
        vars(importlib.import_module(name.rpartition(".")[0]))[name.rpartition(".")[2]], type(module)
    ), "a function must not hide the module of its name"
