"""What is said of a region beforehand is what happens when it is emitted, and saying it leaves no trace."""

import numpy as np
import onnx_ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_regions import Builder
from reference import node
from regions import TARGET, chain, grown, looked_at, uses, ways

from scission.ir.graph.linear import scopes
from scission.models.planted import ffn as planted_ffn
from scission.passes.lowering.nodes.emitter import Emitter, Names
from scission.passes.lowering.region.cut import RegionBlocks
from scission.passes.lowering.region.emit import RegionSite
from scission.passes.lowering.region.lowering import REGIONS
from scission.passes.lowering.region.region_node import Unsuited


def emitted(seen, region, blocks):
    """What a region becomes; the graph reads none of it, and it reads nothing of the graph when it was looked at."""
    addresses = {node: address for scope in scopes(seen.model) for node, address in scope.addresses.items()}
    site = RegionSite(region=region, names=Names(seen.model), addresses=addresses, now={})
    return REGIONS.emit(site, seen.found.constants, blocks, TARGET)


def detached(seen, kept):
    """Take away whatever reads a value of a graph but those nodes."""
    values = {value for one in kept for value in (*one.inputs, *one.outputs) if value is not None}
    for use in [use for value in values for use in value.uses() if use.node not in kept]:
        use.node.replace_input_with(use.idx, None)


@settings(max_examples=30)
@given(st.integers(0, 2**32))
def test_a_region_can_be_emitted_just_where_nothing_speaks_against_it(seed):
    rng = np.random.default_rng(seed)
    seen = looked_at(Builder(seed).build(int(rng.integers(3, 10))))
    kept, before = set(seen.model.graph), uses(seen.model)
    for region in grown(seen):
        for found, layout, count in ways(region):
            blocks = RegionBlocks(decompositions=tuple(found), layout=layout, blocks_per_node=count)
            why = REGIONS.why_not(region.region, blocks, TARGET)
            assert uses(seen.model) == before
            try:
                made = emitted(seen, region.region, blocks)
            except Unsuited as refused:
                assert (refused.reason, refused.reason.text) == (why, why.text)
            else:
                assert why is None
                assert set(made.replaced) == set(region.region.exits) and set(made.nodes) == set(region.region.in_order)
            detached(seen, kept)


def test_asking_makes_nothing(monkeypatch):
    planted = planted_ffn.build(np.random.default_rng(0), 8, 16, 2, "relu", shuffle=True)
    seen = looked_at(planted.model)
    (region,) = grown(seen)
    before = onnx_ir.to_proto(seen.model).SerializeToString(deterministic=True)

    def never(self, *arguments, **options):
        raise AssertionError("something was emitted")

    monkeypatch.setattr(Emitter, "node", never)
    monkeypatch.setattr(Emitter, "constant", never)
    for found, layout, count in ways(region):
        blocks = RegionBlocks(decompositions=tuple(found), layout=layout, blocks_per_node=count)
        assert REGIONS.why_not(region.region, blocks, TARGET) is None
    assert onnx_ir.to_proto(seen.model).SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("layout", ["features_last", "features_first"])
def test_indices_are_those_of_what_enters_and_leaves(layout):
    seen = looked_at(chain([node("Relu", "h", "g", "act")], K=12, H=8, rank=2))
    (region,) = grown(seen)
    blocks = RegionBlocks(decompositions=region.decompositions, layout=layout)
    made = emitted(seen, region.region, blocks)
    numbers = [one.const_value.numpy() for one in made.constants]
    stored = sum(one.nbytes for one in numbers if one.dtype.kind == "i" and one.size > 2)
    assert 0 < stored <= REGIONS.index_bytes(blocks)
