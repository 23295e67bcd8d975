"""Two models beside each other: what their graphs differ in, without running them."""

from __future__ import annotations

import os

from ...ir.findings.difference import Difference
from ...ir.io.load import Model, Source, load
from ...ir.onnx_ir import collected_seldom
from ...passes.diff.differences import differences

__all__ = ["diff"]


def diff(a: Source, b: Source) -> Difference:
    """What two models differ in, whoever wrote them: nodes by what they compute, constants by what they hold.

    What nodes and values inside are called and the order of nodes do not count, nor whether a constant is an
    initializer. Neither model is run or changed; contents are read where they may differ. Raises ModelError when one
    cannot be read.

    >>> import onnx
    >>> from onnx import helper
    >>> x, y = (helper.make_tensor_value_info(name, 1, ["n"]) for name in "xy")
    >>> a, b = (helper.make_model(helper.make_graph([helper.make_node(op, ["x"], ["y"])], "g", [x], [y]))
    ...         for op in ("Relu", "Tanh"))
    >>> found = diff(a, b)
    >>> found.same, found.groups[0].kind, found.removed[0].op, found.added[0].op
    (False, 'became', 'Relu', 'Tanh')
    """
    before = _loaded(a, "A")
    with collected_seldom(len(before.graph.graph)):
        return differences(before, _loaded(b, "B"))


def _loaded(source: Source, letter: str) -> Model:
    """A model, named by its file where it has one."""
    return load(source) if isinstance(source, str | os.PathLike) else load(source, f"model {letter}")
