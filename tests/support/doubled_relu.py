"""A kind of preparation that is as simple as one can be: a Relu of a Relu is read past."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from scission.ir.graph.linear import scopes
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.plan import plan as kinds
from scission.ir.plan.decomposition import PlanError
from scission.ir.plan.preparation import Preparation
from scission.ir.reason import Cause, Reason
from scission.ir.record import Record
from scission.passes.planning import preparations as finders
from scission.passes.rewrite import preparations as rewrites


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubledRelu(Preparation):
    """The second of two Relus; depth: how many came before it."""

    kind: ClassVar[str] = "doubled_relu"
    became: ClassVar[str] = "read past"
    depth: int = 1

    @classmethod
    def total(cls, found):
        return f"{len(found)} doubled"

    def contents(self):
        return {"depth": self.depth}

    @classmethod
    def of(cls, record: Record, **common: Any):
        return cls(depth=record.whole("depth"), **common)


def find(model: ir.Model, search) -> list[DoubledRelu]:
    """All of a model."""
    addresses = {node: text for scope in scopes(model) for node, text in scope.addresses.items()}
    reason = Reason(Cause.SELECTION, "a Relu of a Relu is the first one")
    second = [node for node in model.graph if node.op_type == "Relu" and before(node) is not None]
    return [DoubledRelu(nodes=(addresses[node],), gain=1.5, reason=reason) for node in second]


def before(node: ir.Node) -> ir.Node | None:
    maker = node.inputs[0].producer() if node.inputs[0] is not None else None
    return maker if maker is not None and maker.op_type == "Relu" else None


def carry_out(model: ir.Model, found: Sequence[DoubledRelu]) -> ir.Model:
    copy = model.clone()
    nodes = {text: node for scope in scopes(copy) for node, text in scope.addresses.items()}
    for one in found:
        node = nodes.get(one.nodes[0])
        if node is None or node.op_type != "Relu" or before(node) is None:
            raise PlanError(f"{one.nodes[0]}: it is no Relu of a Relu; make a new plan for this model")
        old, new = node.outputs[0], node.inputs[0]
        assert new is not None
        if old.is_graph_output():
            new.name = old.name
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
        copy.graph.remove(node, safe=True)
    return copy


@pytest.fixture
def doubled_relu(monkeypatch: pytest.MonkeyPatch) -> type[DoubledRelu]:
    """The kind is known to plans, looked for, and carried out."""
    monkeypatch.setattr(kinds, "KINDS", (*kinds.KINDS, DoubledRelu))
    monkeypatch.setitem(finders.FINDERS, "doubled_relu", find)
    monkeypatch.setitem(rewrites.CARRIED_OUT, "doubled_relu", carry_out)
    return DoubledRelu
