import gc
import subprocess
import sys

import pytest

from scission.ir.onnx_ir import OBJECTS, collected_seldom

DEFERRED = "type(sys.modules['sympy']).__name__ == '_LazyModule'"


def python(code):
    done = subprocess.run([sys.executable, "-c", f"import sys\n{code}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "code",
    [
        # sympy is put off, and nothing of what loading needs calls it in
        f"import scission.ir.io.load\nassert 'sympy' not in sys.modules or {DEFERRED}",
        "import scission.ir.io.load\nassert 'sympy.core' not in sys.modules",
        # the door is the package itself
        "from scission.ir.onnx_ir import onnx_ir as ir\nimport onnx_ir\nassert ir is onnx_ir and ir.Model",
        # whoever needs sympy still gets it, through any of its doors
        "import scission.ir.onnx_ir, onnx_ir\nassert str(onnx_ir.SymbolicDim('n') * 2 + 1) == '2*n + 1'",
        "import scission.ir.onnx_ir, sympy\nassert str(sympy.Symbol('n') + 1) == 'n + 1'",
        "import scission.ir.onnx_ir, sympy.core\nassert sympy.core.Symbol('n').name == 'n'",
        "import scission.ir.onnx_ir\nfrom sympy import Symbol\nassert Symbol('n').name == 'n'",
        # who came before us keeps what they have
        "import sympy, onnx_ir\nfrom scission.ir.onnx_ir import onnx_ir as ir\nassert ir is onnx_ir and sympy.Symbol",
        # the finder does not stay behind
        "before = list(sys.meta_path)\nimport scission.ir.onnx_ir\n"
        "assert not any(getattr(f, '__module__', '') == 'scission.ir.onnx_ir' for f in sys.meta_path)",
    ],
)  # fmt: skip
def test_the_door(code):
    python(code)


def test_garbage_of_a_large_graph_is_looked_for_seldom_and_afterwards_as_before():
    before = gc.get_threshold()
    with pytest.raises(ValueError, match="over"), collected_seldom(100_000):
        assert gc.get_threshold() == (OBJECTS * 100_000, *before[1:])
        assert gc.get_freeze_count() > 0
        with collected_seldom(50_000):
            assert gc.get_threshold()[0] == OBJECTS * 100_000
        assert gc.get_freeze_count() > 0
        raise ValueError("over")
    assert gc.get_threshold() == before and gc.get_freeze_count() == 0
    with collected_seldom(10):
        assert gc.get_threshold() == before
    gc.set_threshold(0)
    try:
        with collected_seldom(100_000):
            assert gc.get_threshold()[0] == 0
    finally:
        gc.set_threshold(*before)
    gc.freeze()
    try:  # what a caller keeps out of it stays so
        with collected_seldom(100_000):
            assert gc.get_freeze_count() > 0
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
