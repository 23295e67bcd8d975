import json

import pytest

from scission.ir.findings.difference import (
    Became,
    Difference,
    Field,
    NodeAt,
    NodeChange,
    Side,
    TensorAt,
    TensorChange,
    Totals,
)

TOTALS = Totals(nodes=(("Relu", 2), ("Add", 1)), parameters=4, nbytes=16, macs=(("n", 4),), uncounted=0)
SIDE = Side(name="a.onnx", producer="", totals=TOTALS)
NODE = NodeAt(address="relu", op="Relu")
FIELD = Field(what="alpha", before="1", after="2")


def of(**fields):
    return Difference(before=SIDE, after=SIDE, matched=3, **fields)


def test_nothing_is_the_same():
    assert of().same and of().count == 0 and of(constants=1).sentence == "same: 3 nodes, 1 constant"


def test_other_names_are_the_same():
    at = TensorAt(name="w", dtype="float", shape=(2, 2), nbytes=16)
    found = of(constants=1, renamed=(TensorChange(kind="renamed", before=(at,), after=at),))
    assert found.same and "renamed" in found.sentence


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"header": (FIELD,)}, "1 in the header"),
        ({"interface": (FIELD,)}, "1 in the interface"),
        ({"nodes": (NodeChange(kind="moved", before=NODE, after=NODE, fields=(FIELD,)),)}, "1 node moved"),
        ({"groups": (Became(before=(NODE,), after=(NODE, NODE), by="matching"),)}, "2 nodes added, 1 removed"),
        ({"tensors": (TensorChange(kind="removed", before=(), after=None),)}, "1 constant different"),
    ],
)
def test_every_part_counts_and_is_told(fields, words):
    found = of(**fields)
    assert not found.same and found.count == 1 and words in found.sentence
    data = json.loads(json.dumps(found.to_dict()))
    assert data["same"] is False and data[next(iter(fields))]


def test_kinds_of_groups():
    kinds = [
        Became(before=a, after=b, by="matching").kind for a, b in (((), (NODE,)), ((NODE,), ()), ((NODE,), (NODE,)))
    ]
    assert kinds == ["added", "removed", "became"]
    assert of(groups=(Became(before=(NODE,), after=(), by="matching"),)).to_dict()["groups"][0]["kind"] == "removed"


def test_fields_and_nodes_read_well():
    texts = [str(Field(what="x", before=a, after=b)) for a, b in (("1", "2"), (None, "2"), ("1", None))]
    assert texts == ["x 1 -> 2", "x 2 added", "x 1 removed"] and str(NODE) == "Relu relu" and TOTALS.count == 3
