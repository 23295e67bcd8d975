"""What was lent is as it was, and parts cut of one analysed model are those of a model analysed for each of them."""

import pytest
from random_parts import random_parts

from scission.ir.io.load import load
from scission.ir.io.serial import to_proto
from scission.passes.partition.find import analysed, find
from scission.passes.partition.narrowing import narrow
from scission.passes.rewrite.parts.narrowed import narrowed


def written(source, graph):
    return to_proto(source, graph).SerializeToString(deterministic=True)


@pytest.mark.parametrize("seed", range(16))
def test_a_part_is_the_same_whatever_was_cut_of_the_model_before(seed):
    source = load(random_parts(seed)[0])
    found = find(source.graph)
    if not isinstance(found, tuple):
        return
    whole = found[0].whole
    before = written(source, whole.seen.model)
    for one in found:
        alone = analysed(source.graph)
        needed = narrow(alone.relations, alone.seen.model.graph, one.writes)
        part = written(source, narrowed(one.whole, one.needed, "part"))
        assert part == written(source, narrowed(alone, needed, "part"))
        assert written(source, whole.seen.model) == before
