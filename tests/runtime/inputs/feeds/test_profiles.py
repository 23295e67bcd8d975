"""Signatures that exporters give are recognised, and others are not taken for them."""

import onnx
import pytest
from exports import EXPORTS
from hypothesis import given
from hypothesis import strategies as st

import scission
from scission.ir.io.load import load
from scission.runtime.inputs.feeds.profiles import profile_of
from scission.runtime.inputs.likes import LIKES
from scission.runtime.inputs.spec import spec_of
from scission.runtime.ort.tensor_spec import TensorSpec
from scission.runtime.ort.trials import Trials

KNOWN = {
    "encoder": ("a transformer encoder", {"input_ids": "tokens", "attention_mask": "mask"}, {}),
    "decoder with past": (
        "a decoder with past", {"input_ids": "tokens", "attention_mask": "mask", "position_ids": "positions"}, {},
    ),
    "decoder with past, merged": ("a decoder with past", {"input_ids": "tokens", "attention_mask": "mask"}, {}),
    "decoder of sequences": ("a decoder of sequences", {"input_ids": "tokens", "encoder_attention_mask": "mask"}, {}),
    "diffusion UNet": ("a diffusion UNet", {}, {"timestep": (0, 999)}),
    "speech with lengths": ("a speech model", {"length": "lengths"}, {}),
    "text to speech": (
        "a text-to-speech model", {"input": "tokens", "input_lengths": "lengths"}, {"scales": (0.5, 1.5)},
    ),
    "detector": ("a detector", {"image": "image", "im_shape": "extents", "scale_factor": "ones"}, {}),
    "detector of pictures": ("a model of pictures", {"images": "image"}, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPORTS)
def test_exports_are_recognised(tmp_path, name):
    onnx.save(EXPORTS[name](), tmp_path / "m.onnx")
    found = profile_of(spec_of(load(tmp_path / "m.onnx"), given=True))
    if name not in KNOWN:
        assert found is None
        return
    called, likes, ranges = KNOWN[name]
    assert (found.name, found.wishes.likes, found.wishes.ranges) == (called, likes, ranges)
    assert all(name in found.sentence for name in (*likes, *ranges))


@pytest.mark.parametrize("name", EXPORTS)
def test_exports_are_split_and_proved_without_an_option_about_inputs(tmp_path, name):
    """force: these are too small to gain; every branch of theirs is exercised."""
    onnx.save(EXPORTS[name](), tmp_path / "m.onnx")
    result = scission.optimize(tmp_path / "m.onnx", tmp_path / "o.onnx", force=True, bench=False)
    assert result.outcome == "split" and result.verdict.equal and all(part.exercised for part in result.verdict.parts)
    (one,) = scission.bench(tmp_path / "m.onnx", tmp_path / "o.onnx", trials=Trials(seconds=0.02), batch=1)
    assert one.rows >= 1


def test_names_alone_are_not_enough():
    """A mask of floats (n, 8) beside vectors is no attention mask, tokens alone are no transformer."""
    ids = TensorSpec(name="input_ids", dtype="int64", shape=("n", "t"))
    features = TensorSpec(name="features", dtype="float32", shape=("n", 8))
    mask = TensorSpec(name="attention_mask", dtype="string", shape=("n", 8))
    assert profile_of([ids]) is None and profile_of([features, mask]) is None and profile_of([ids, mask]) is None


DIMS = st.one_of(st.integers(1, 9), st.sampled_from(["n", "t", None]))
SPECS = st.builds(
    TensorSpec,
    name=st.sampled_from(
        ["input_ids", "attention_mask", "x", "sample", "timestep", "image", "im_shape", "t", "length"]
    ),
    dtype=st.sampled_from(["int64", "float32", "bool", "string", "float16", "uint8", "seq(tensor(float))"]),
    shape=st.lists(DIMS, max_size=5).map(tuple),
)


@given(st.lists(SPECS, max_size=6, unique_by=lambda one: one.name))
def test_what_a_signature_says_its_inputs_can_be(spec):
    found = profile_of(spec)
    if found is not None:
        found.wishes.require(spec)
        assert set(found.wishes.likes.values()) <= {*LIKES}
