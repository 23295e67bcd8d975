"""Files are opened to be read by `ir/files/reading.py` alone, which asks the descriptor what it is.

Others only write, or read what is the system's or the package's own.
"""

import ast
import re

import pytest
from modules import MODULES, tree

READERS = {  # what opens a file by its path; of a dotted name the end
    *("read_text", "read_bytes", "read_lines", "memmap", "fromfile", "loadtxt", "genfromtxt", "mmread", "mminfo"),
    *("is_zipfile", "ZipFile", "safe_open", "load_file", "ReferenceEvaluator", "open_memmap"),
    *("np.load", "numpy.load", "onnx.load", "onnx.load_model", "ir.load", "onnx_ir.load", "torch.load", "json.load"),
    *(
        "os.open",
        "io.open",
        "io.FileIO",
        "mmap.mmap",
        "tomllib.load",
        "pickle.load",
        "check_model",
        "infer_shapes_path",
    ),
}
GIVEN = {  # calls that are given bytes, a descriptor or a file that is open
    *("mmap.mmap", "is_zipfile", "json.load", "mmread", "mminfo", "loadtxt", "check_model", "ReferenceEvaluator"),
}
OPENED = {"path_of", "file", "opened", "file.fileno"}  # what comes of `open_file`
OWN = {  # who reads what is the system's or the package's own, or opens what is no file
    "scission.ir.files.reading": "the one that opens",
    "scission.ir.files.inside": "the same, a step at a time",
    "scission.ir.staging.folder": "folders, to lock them",
    "scission.ir.files.archive": "of a file that is open",
    "scission.runtime.inputs.canary": "what the process that started it sends",
    "scission.runtime.ort.environment": "/proc/cpuinfo",
    "scission.runtime.ort.memory": "/proc and /sys",
    "scission.passes.lowering.prices": "prices of machines, in the package",
    "scission.runtime.http.watch.asking": "what a server answers",
    "scission.runtime.http.endpoint": "a page, in the package",
    "scission.runtime.render.html.page": "a template, in the package",
    "scission.runtime.render.html.diff_page": "a template, in the package",
    "scission.runtime.compare.check": "sessions",
    "scission.runtime.doctor.examination": "the cache, which reads with `read_text`",
    "scission.runtime.upgrade.monitor.run_log": "the log that it writes, which it locks",
    "scission.runtime.tools.olive_package": "Olive's own configuration, in its package",
    "scission.runtime.tune.unit_races": "the cache, which reads with `read_text`",
    "scission.runtime.cli.commands.machine.cache": "the same",
}


def dotted(node):
    """'a.b.c' of what is called."""
    if isinstance(node, ast.Name):
        return node.id
    return f"{dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else ""


def writes(call):
    """Whether `open` is told to write."""
    if any(dotted(one).startswith("os.O_WRONLY") for one in ast.walk(call)):
        return True
    given = (*call.args[isinstance(call.func, ast.Name) :], *(one.value for one in call.keywords))
    modes = [one.value for one in given if isinstance(one, ast.Constant)]
    return any(isinstance(mode, str) and mode.strip("b") in ("w", "x", "a") for mode in modes)


def opens(call):
    """What a call opens to read, as it stands there; '' for any other call."""
    name = dotted(call.func) or (f".{call.func.attr}" if isinstance(call.func, ast.Attribute) else "")
    end = name.rpartition(".")[2]
    if end == "open":
        return "" if writes(call) else name
    if not ({name, end} & READERS) or {name, end} & GIVEN or name in ("read_text", "read_bytes"):  # the one module's
        return ""
    first = call.args[0] if call.args else None
    given = dotted(first.func) if isinstance(first, ast.Call) else dotted(first) if first is not None else ""
    return "" if given in OPENED else name


def found(source):
    return [opens(one) for one in ast.walk(source) if isinstance(one, ast.Call) and opens(one)]


def opened_in(name):
    """What a module opens to read; most do not even say a word of it."""
    words = "|".join(sorted({"open", *(one.rpartition(".")[2] for one in READERS)}))
    return found(tree(name)) if re.search(rf"\b({words})\(", MODULES[name].read_text(encoding="utf-8")) else []


def test_one_module_opens_files_to_read_them():
    others = [name for name in MODULES if name not in OWN and not name.startswith("scission.models")]
    assert len(others) > 300 and {name: told for name in others if (told := opened_in(name))} == {}


def test_the_exceptions_are_some():
    assert [name for name in OWN if not found(tree(name)) and name != "scission.ir.files.archive"] == []


@pytest.mark.parametrize(
    "line",
    [
        *('open("a")', 'open(path, "rb")', "path.open()", 'Path(p).open("rb")', "path.read_text()", "p.read_bytes()"),
        *("np.load(path)", 'np.memmap(path, np.uint8, "r")', "onnx.load(str(path))", "torch.load(f)", "os.open(p, 0)"),
        *("safe_open(path, framework='numpy')", "files(p).joinpath(n).read_text()", "zipfile.ZipFile(path)"),
    ],
)
def test_what_opens_is_seen(line):
    assert found(ast.parse(line))


@pytest.mark.parametrize(
    "line",
    [
        *('path.open("wb")', 'open(path, "x")', "os.fdopen(handle, 'w')", "np.load(path_of(file))", "np.load(file)"),
        *("open_file(path, DATA)", "zipfile.is_zipfile(file)", "mmap.mmap(file.fileno(), 0)", "json.loads(text)"),
    ],
)
def test_what_does_not_is_not(line):
    assert found(ast.parse(line)) == []
