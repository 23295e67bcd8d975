"""Nothing that runs from this repository lets ONNX Runtime report itself, which it does where it is imported."""

import ast
from pathlib import Path

import pytest

from scission.runtime.ort.library import onnxruntime

ROOT = Path(__file__).parents[2]
RUN_ALONE = [path for folder in ("bench", "support") for path in sorted((ROOT / "tests" / folder).glob("*.py"))]


def imported(node):
    """The modules that a statement imports."""
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [one.name for one in node.names] if isinstance(node, ast.Import) else []


@pytest.mark.parametrize("path", RUN_ALONE, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_is_run_without_make_opens_the_runtime_through_its_door(path):
    quiet = False
    for node in ast.walk(ast.Module(ast.parse(path.read_text(encoding="utf-8")).body, [])):
        quiet |= isinstance(node, ast.Expr) and ast.unparse(node) == f"{onnxruntime.__name__}()"
        found = [name for name in imported(node) if name.split(".")[0] == "onnxruntime"]
        assert quiet or not found, f"line {node.lineno}: import it by {onnxruntime.__module__}"
