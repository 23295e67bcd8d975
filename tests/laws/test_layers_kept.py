"""Nodes say in which layer of a model they are, which ONNX Runtime reads: those that take their place say it too.

ONNX Runtime assigns layers to devices by `layer_ann`, a metadata of nodes, and its session option
`session.layer_assignment_settings`; Olive's CaptureLayerAnnotations writes it. Olive's SplitModel reads
`split_assignments`, a metadata of the model, which says to which part nodes belong by how their names begin.
"""

from dataclasses import replace

import numpy as np
import oracles
import pytest
from compiled_forests import of_products, random_trees
from convolved import transform
from factored import fourier, hadamard, product_model
from framed import conv_model
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from random_branches import random_branches
from random_convolutions import random_convolution

import scission
from scission.ir.graph.linear import scopes
from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.ir.provenance import LAYER, ORIGIN
from scission.models.planted import ffn
from scission.models.planted.branches import Repeated, repeated
from scission.models.planted.products import KINDS, build
from scission.models.planted.recurrent import Cell, build_cell

WINDOW = np.hanning(401)[:-1].astype(np.float32)
ASSIGNED = "model.layers.0=0;model.layers.1=1"


def told(node, key):
    return next((one.value for one in node.metadata_props if one.key == key), None)


def annotated(model, layer):
    """The model in which every node is in the layer that a function of its number says."""
    for number, node in enumerate(oracles.every_node(model)):
        node.name = node.name or f"node{number}"
        node.metadata_props.add(key=LAYER, value=layer(number))
    helper.set_model_props(model, {"split_assignments": ASSIGNED})
    return model


def by_address(model, inline=()):
    """What each node of a model says of its layer, by its address."""
    seen = view(load(model).graph, inline)
    nodes = {address: node for scope in scopes(seen.model) for node, address in scope.addresses.items()}
    nodes |= {one.address: one.node for one in (*seen.found.linears, *seen.found.recurrents)}
    return {address: node.metadata_props.get(LAYER) for address, node in nodes.items()}


def changed(model, **options):
    """What a plan makes of a model, and the plan."""
    plan = scission.plan(model, force=True, **options)
    assert plan.changes
    return scission.apply(model, plan), plan


def idle():
    W, V = (np.random.default_rng(0).standard_normal(shape).astype(np.float32) for shape in ((16, 24), (24, 16)))
    W[:, ::3] = 0
    nodes = [("MatMul", ["x", "W"], ["h"]), ("Sigmoid", ["h"], ["r"]), ("MatMul", ["r", "V"], ["y"])]
    return oracles.graph(nodes, {"x": ["m", 16]}, {"y": ["m", 16]}, {"W": W, "V": V})


def rng():
    return np.random.default_rng(0)


WHAT = Repeated(lanes=12, inputs=8, widths=(8, 8), equal=False, source="places", end="sum", axis=1)
MADE = {
    "forests": (lambda: of_products(random_trees(rng(), 40, 5, 3, sure=True), 3), {}),
    "frames": (lambda: conv_model(fourier(400, window=WINDOW), 160), {"sizes": {"b": 1, "n": 16000}}),
    "convolutions": (lambda: transform(WINDOW, 160), {"batch": [4000], "factors": False}),
    "factors": (lambda: product_model(hadamard(512)), {"batch": [1000]}),
    "channels": (idle, {}),
    "branches": (lambda: repeated(rng(), WHAT).model, {"batch": [1, 4]}),
}
SPLIT = {
    "ffn": lambda: ffn.build(rng(), d=32, hidden=64, blocks=4).model,
    "cell": lambda: build_cell(rng(), Cell(op="LSTM", sizes=((4, 4), (4, 4)))).model,
} | {kind: lambda kind=kind: build(rng(), kind, dormant=(1, 2)).model for kind in KINDS}


@pytest.mark.parametrize("kind", SPLIT)
def test_new_nodes_are_in_the_layer_of_the_one_whose_place_they_take(kind):
    model = annotated(SPLIT[kind](), "layer{}".format)
    result, plan = changed(model)
    layers = by_address(model, plan.inline)
    assert {node.name for node in oracles.every_node(result) if told(node, LAYER) is None} == set()
    new = [node for node in oracles.every_node(result) if told(node, ORIGIN)]
    assert new and [(node.name, told(node, LAYER)) for node in new] == [
        (node.name, layers[told(node, ORIGIN)]) for node in new
    ]
    assert {one.key: one.value for one in result.metadata_props}["split_assignments"] == ASSIGNED


@pytest.mark.parametrize("kind", MADE)
def test_every_preparation_leaves_no_node_without_its_layer(kind):
    make, options = MADE[kind]
    result, plan = changed(annotated(make(), lambda _: "one"), **options)
    assert kind in [one.kind for one in plan.preparations]
    assert {told(node, LAYER) for node in oracles.every_node(result)} == {"one"}


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([random_branches, random_convolution]))
def test_no_node_of_a_random_model_is_in_a_layer_that_there_was_not(seed, make):
    made = make(seed)
    model = annotated(made[0] if isinstance(made, tuple) else made, lambda number: f"layer{number % 3}")
    result = scission.apply(model, scission.plan(model, force=True, batch=[4]))
    before = {told(node, LAYER) for node in oracles.every_node(model)}
    assert {told(node, LAYER) for node in oracles.every_node(result)} <= before


def test_branches_that_are_in_layers_of_their_own_stay_apart():
    """Where each may be given to another device."""
    model = repeated(rng(), WHAT).model
    assert scission.plan(annotated(model, lambda _: "one"), batch=[1, 4]).preparations
    apart = repeated(rng(), replace(WHAT, equal=True)).model
    assert not scission.plan(annotated(apart, "layer{}".format), batch=[1, 4]).preparations


@pytest.mark.parametrize("everywhere", [True, False])
def test_what_is_inlined_is_in_the_layer_of_the_call_unless_it_says_another(everywhere):
    model = build(rng(), "function").model
    calls = [node for node in model.graph.node if node.domain == model.functions[0].domain]
    body = [node for function in model.functions for node in function.node]
    for node in (*model.graph.node, *(body if everywhere else ())):
        node.metadata_props.add(key=LAYER, value="outer" if node in calls else "inner")
    result, _ = changed(model)
    blocks = [node for node in oracles.every_node(result) if told(node, ORIGIN)]
    assert blocks and {told(node, LAYER) for node in blocks} == {"inner" if everywhere else "outer"}
