import dataclasses
import json
import random

import numpy as np
import pytest
from damage import damaged_json

from scission.ir.parts.manifest import Manifest, PartFile, PartValue
from scission.ir.parts.share import ManifestError, share_of, whole

SHA = "0" * 64


def some(value, *places, size=4):
    return share_of(value, {1: np.isin(np.arange(size), places)})


def part(name, reads, writes, **more):
    told = {"files": {f"{name}.onnx": SHA, f"{name}.onnx.data": SHA}, "macs": 8, "bytes_": 100}
    return PartFile(name=name, reads=reads, writes=writes, **(told | more))


def manifest(**more):
    told = {
        "name": "m.onnx",
        "original": SHA,
        "inputs": (PartValue("x", "float32", ("n", 4)),),
        "outputs": (PartValue("y", "float32", None),),
        "between": (PartValue("h", "float32", (None, 4)),),
        "parts": (
            part("first", (whole("x"),), (whole("h"),)),
            part("a", (some("h", 0, 1), some("x", 3)), (some("y", 0, 3),)),
            part("b", (some("h", 2, 3),), (some("y", 1, 2),)),
        ),
    }
    return Manifest(**(told | more))


def test_text_and_back_is_the_same():
    found = Manifest.loads(manifest().dumps())
    assert found == manifest() and found.plan == manifest().plan
    assert found.parts[1].model == "a.onnx" and found.files[-2:] == ["b.onnx.data", "manifest.json"]


def test_the_plan_tells_what_is_cut_and_not_in_which_files():
    (first, a, b), files = manifest().parts, {"z.onnx": SHA}
    assert manifest(parts=(first, a, dataclasses.replace(b, files=files, macs=0))).plan == manifest().plan
    assert manifest(parts=(first, b, a)).plan != manifest().plan


FIRST, A, B = manifest().parts
WRONG = {
    "it has no part": {"parts": ()},
    "the part 'a' is there twice": {"parts": (FIRST, A, dataclasses.replace(B, name="a"))},
    "the file 'a.onnx' is there twice": {"parts": (FIRST, A, dataclasses.replace(B, files=A.files))},
    "the value 'x' is there twice": {"between": (PartValue("x", "float32", None),)},
    "a reads 'h', which nothing before it has written": {"parts": (A, FIRST, B)},
    "b reads 'y', which": {"parts": (FIRST, A, dataclasses.replace(B, reads=(whole("y"),)))},
    "b writes 'x', which is an input": {"parts": (FIRST, A, dataclasses.replace(B, writes=(some("x", 1, 2),)))},
    "b reads or writes 'z', which is no value": {"parts": (FIRST, A, dataclasses.replace(B, writes=(whole("z"),)))},
    "the 4 places of 'y' along axis 1": {"parts": (FIRST, A, dataclasses.replace(B, writes=(some("y", 1),)))},
    "the 4 places of 'y'": {"parts": (FIRST, A, dataclasses.replace(B, writes=(some("y", 1, 2, 3),)))},
    "'y' is written by nothing, or not": {"parts": (FIRST, A, dataclasses.replace(B, writes=(whole("y"),)))},
    "'y' is written by nothing": {"parts": (FIRST,)},
    "b: axis 1 of 'h' has 4 places, not 5": {
        "parts": (FIRST, A, dataclasses.replace(B, reads=(some("h", 2, size=5),)))
    },
    "the value of b 'h' is there twice": {"parts": (FIRST, A, dataclasses.replace(B, reads=(some("h", 1),) * 2))},
}


@pytest.mark.parametrize("why", WRONG)
def test_parts_that_contradict_one_another_are_refused(why):
    with pytest.raises(ManifestError) as error:
        manifest(**WRONG[why])
    assert str(error.value).startswith(why)


CHANGES = [
    ("schema", 2),
    ("schema", "1"),
    ("original", "x"),
    ("plan", "1" * 64),
    ("parts", {}),
    ("inputs", [{"name": "x", "dtype": "float32", "shape": [-1]}]),
    ("inputs", [{"name": "x", "dtype": "float32", "shape": [1] * 65}]),
    ("inputs", [3]),
    ("surprise", 1),
]


@pytest.mark.parametrize(("name", "value"), CHANGES)
def test_fields_that_are_nonsense_are_refused(name, value):
    data = manifest().to_dict() | {name: value}
    with pytest.raises(ManifestError):
        Manifest.loads(json.dumps(data))


@pytest.mark.parametrize("file", ["../a.onnx", "/etc/passwd", "a/b", "", ".hidden", "manifest.json", "a\n", "a" * 101])
def test_a_file_lies_in_the_folder(file):
    data = manifest().to_dict()
    data["parts"][1]["files"][0]["file"] = file
    with pytest.raises(ManifestError, match="no name of a file of the folder"):
        Manifest.loads(json.dumps(data))


def test_a_few_bytes_name_no_billion_places():
    data = manifest().to_dict()
    cut = [{"axis": axis, "size": 1 << 26, "places": f"0-{(1 << 26) - 1}"} for axis in range(3)]
    data["parts"][1]["reads"] = [{"value": "x", "cut": cut}]
    with pytest.raises(ManifestError, match="more than can be"):
        Manifest.loads(json.dumps(data))


def test_whatever_is_damaged_is_read_or_refused():
    rng = random.Random(0)
    text = manifest().dumps()
    refused = 0
    for _ in range(150):
        try:
            Manifest.loads(damaged_json(rng, text))
        except ManifestError as error:
            refused += bool(str(error))
    assert refused > 100


@pytest.mark.parametrize("text", ["", "[", "[]", "3", '{"schema": 1}', "[" * 100000, "\0", "NaN"])
def test_what_is_no_manifest_is_refused_in_one_line(text):
    with pytest.raises(ManifestError) as error:
        Manifest.loads(text)
    assert str(error.value) and "\n" not in str(error.value)
