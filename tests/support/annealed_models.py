"""Models that are annealed in tests, and decisions about their linears."""

import dataclasses

import numpy as np
import onnx
import oracles
import reference

from scission.ir.evidence.evidence import Evidence
from scission.ir.evidence.null import Null
from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.plan.annealing import Annealing
from scission.passes.anneal.model import anneal_model
from scission.passes.anneal.settings import Anneal
from scission.passes.decompose.fingerprint import fingerprint
from scission.passes.rewrite.remove_edges import remove_edges

NOTE = "scission.annealing"


EVIDENCE = Evidence(test="neyman", level=0.05, correction="none", confirmed=0.5)


def normal(scale=1.0):
    return lambda linear: Null(family="normal", scale=scale, source="test")


def uniform(scale):
    return lambda linear: Null(family="uniform", scale=scale, source="test")


def annealed(model, annealing, refitted=None, **options):
    """The annealed model as a ModelProto."""
    return ir.to_proto(remove_edges(load(model).graph, annealing, refitted, **options))


def decided(model, **options):
    return anneal_model(load(model), Anneal(**options))


def nodes_by_address(model):
    """Every node by the last part of its address: its name, or operator and position."""
    found = {}
    for graph in oracles.every_graph(model):
        for index, node in enumerate(graph.node):
            found[node.name or f"{node.op_type}#{index}"] = node
    return found


def all_constants(model):
    """Every constant of the main graph, and the initializers of all others."""
    known = reference.constants(model)
    for graph in oracles.every_graph(model):
        known.update({t.name: onnx.numpy_helper.to_array(t) for t in getattr(graph, "initializer", ())})
    return known


def masked(model, annealing):
    """The model with zeros in the stored weights, orientation and all from the definition of each operator."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    known = all_constants(model)
    for number, one in enumerate(annealing):
        node = nodes_by_address(copy)[one.node.rsplit("/", 1)[-1]]
        side = next(index for index, name in enumerate(node.input) if name in known)
        mine = np.array(known[node.input[side]], order="C")
        canonical = reference.canonical(node, {**known, node.input[side]: mine})
        assert np.shares_memory(canonical, mine)
        canonical[~one.kept()] = 0
        node.input[side] = f"masked {number}"
        copy.graph.initializer.append(onnx.numpy_helper.from_array(mine, f"masked {number}"))
    return copy


def load_linears(model):
    seen = view(load(model).graph).found
    return [Stored(way, way.stored(seen.constants), way.canonical(seen.constants)) for way in seen.linears]


@dataclasses.dataclass
class Stored:
    linear: object
    weight: np.ndarray
    canonical: np.ndarray

    @property
    def shape(self):
        return self.linear.shape


def decision(one, **fields):
    default = {
        "node": one.linear.address,
        "weight": one.linear.weight.name,
        "shape": one.shape,
        "sha256": fingerprint(one.weight),
        "evidence": EVIDENCE,
        "removed": 1,
    }
    return Annealing(**{**default, **fields})


RNG = np.random.default_rng(5)


W = RNG.normal(size=(8, 6)).astype(np.float32)


C = RNG.normal(size=6).astype(np.float32)


def product(op, lead, **attributes):
    """y = alpha x W + beta C, W stored as the attributes say."""
    stored = np.ascontiguousarray(W.T) if attributes.get("transB") else W
    inputs, constants = ["x", "W"], {"W": stored}
    if op == "Gemm" and "beta" in attributes:
        inputs.append("C")
        constants["C"] = C
    domain = {"domain": "com.microsoft"} if op == "FusedMatMul" else {}
    nodes = [
        (op, inputs, ["p"], {"name": "linear", **attributes, **domain}),
        ("Add", ["p", "b"], ["y"], {"name": "bias"}),
    ]
    constants["b"] = C
    return oracles.graph(nodes, {"x": [*lead, 8]}, {"y": [*lead, 6], "p": [*lead, 6]}, constants)


EMPTY = {"model": "m", "provider": "cpu", "batch": (1,), "parameters": 1, "steps": (), "skipped": ()}
