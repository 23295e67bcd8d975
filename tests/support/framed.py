"""Models that multiply frames of a signal by a constant, and the copies in which all of these are stages."""

from __future__ import annotations

from random import Random

import numpy as np
import onnx
from factored import fourier
from onnx import TensorProto, helper, numpy_helper
from random_convolutions import Grown

from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.plan.factored_weight import FramedProduct
from scission.ir.reason import Cause, Reason
from scission.passes.frontends.find import seen
from scission.passes.frontends.staging import best_stages
from scission.passes.rewrite.write_frames import write_frames


def signal_model(nodes, constants, *, x=("b", "n"), opset: int = 17) -> onnx.ModelProto:
    """x: the shape of the signals; the last node makes y."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(x))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def stft_model(window, hop: int, *, onesided: int = 1, then=(), x=("b", "n"), opset: int = 17) -> onnx.ModelProto:
    """Fourier transforms of frames, called f where something is done with them."""
    node = helper.make_node("STFT", ["x", "hop", "window"], ["f" if then else "y"], "stft", onesided=onesided)
    constants = {"hop": np.int64(hop), "window": np.asarray(window, np.float32)}
    return signal_model([node, *then], constants, x=x, opset=opset)


def conv_model(weight, hop: int, *, then=(), pads=(0, 0), opset: int = 17) -> onnx.ModelProto:
    """Frames of n samples times a weight (n, outputs), as a convolution."""
    last = "f" if then else "y"
    node = helper.make_node("Conv", ["x", "W"], [last], "conv", strides=[hop], pads=list(pads))
    constants = {"W": np.ascontiguousarray(weight.T)[:, None]}
    return signal_model([node, *then], constants, x=("b", 1, "n"), opset=opset)


def emphasised_model(weight, hop: int, coefficient, *, bias=None, then=()) -> onnx.ModelProto:
    """The same of x[t] - coefficient · x[t - 1], the first sample as it is, for signals (b, n)."""
    nodes = [
        helper.make_node("Slice", ["x", "0", "1", "1"], ["first"]),
        helper.make_node("Slice", ["x", "1", "end", "1"], ["later"]),
        helper.make_node("Slice", ["x", "0", "-1", "1"], ["earlier"]),
        helper.make_node("Mul", ["c", "earlier"], ["less"]),
        helper.make_node("Sub", ["later", "less"], ["difference"]),
        helper.make_node("Concat", ["first", "difference"], ["whole"], axis=-1),
        helper.make_node("Unsqueeze", ["whole", "1"], ["channel"]),
        helper.make_node(
            "Conv", ["channel", "W", *([] if bias is None else ["b"])], ["f" if then else "y"], "conv", strides=[hop]
        ),
    ]
    numbers = {"0": [0], "1": [1], "-1": [-1], "end": [np.iinfo(np.int64).max]}
    constants: dict = {name: np.int64(one) for name, one in numbers.items()}
    constants |= {"c": np.float32(coefficient), "W": np.ascontiguousarray(weight.T)[:, None]}
    return signal_model([*nodes, *then], constants if bias is None else constants | {"b": np.float32(bias)})


def power_of(bins: int, made: str = "y", *, op: str = "ReduceSumSquare", opset: int = 17) -> list[onnx.NodeProto]:
    """What takes the power of a convolution's halves."""
    shape = helper.make_tensor("shape", TensorProto.INT64, [4], [0, 2, bins, -1])
    return [
        helper.make_node("Constant", [], ["halves"], value=shape),
        helper.make_node("Reshape", ["f", "halves"], ["both"]),
        *reduced(op, "both", made, 1, opset),
    ]


def reduced(op: str, value: str, made: str, axis: int, opset: int) -> list[onnx.NodeProto]:
    """A sum over one axis."""
    if opset < 18:
        return [helper.make_node(op, [value], [made], "power", axes=[axis], keepdims=0)]
    axes = helper.make_node(
        "Constant", [], ["parts"], value=helper.make_tensor("parts", TensorProto.INT64, [1], [axis])
    )
    return [axes, helper.make_node(op, [value, "parts"], [made], "power", keepdims=0)]


def mel_of(weight, *, frames_first=True) -> list[onnx.NodeProto]:
    """A product behind the power p (b, bins, frames) of a convolution, with a weight (bins, outputs)."""
    array = np.ascontiguousarray(weight if frames_first else weight.T)
    held = helper.make_node("Constant", [], ["mel"], value=numpy_helper.from_array(array))
    if not frames_first:
        return [held, helper.make_node("MatMul", ["mel", "p"], ["y"], "mels")]
    turned = helper.make_node("Transpose", ["p"], ["q"], "turned", perm=[0, 2, 1])
    return [held, turned, helper.make_node("MatMul", ["q", "mel"], ["y"], "mels")]


def bank(bins: int, mels: int, rng: np.random.Generator) -> np.ndarray:
    """(bins, mels): overlapping triangles at places of their own, of which some read nothing."""
    edges = np.sort(rng.uniform(-1, bins, mels + 2))
    places = np.arange(bins)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        rising = (places - edges[:-2]) / (edges[1:-1] - edges[:-2])
        falling = (edges[2:] - places) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


def frame_steps(model: onnx.ModelProto, seed: int = 0) -> list[FramedProduct]:
    """Everything that can be done, whether it is predicted to gain or not, in bands that a seed draws."""
    rng = Random(seed)
    _, scope, _, found = seen(load(model).graph)
    pairs = [(one, best_stages(one.product, lambda stages: stages.macs)) for one in found]
    return [
        FramedProduct(
            nodes=tuple(scope.addresses[node] for node in one.nodes),
            places=stages.split.stride,
            gap=stages.split.step,
            sha256=one.sha256,
            macs=stages.macs,
            bound=0.5,
            bands=() if one.mel is None else drawn_bands(one.mel.weight.shape[1], rng),
            reason=Reason(Cause.FACTORS, "asked for"),
        )
        for one, stages in pairs
        if stages is not None
    ]


def drawn_bands(outputs: int, rng: Random) -> tuple[int, ...]:
    """Sizes of runs that all outputs make up."""
    cuts = sorted(rng.sample(range(1, outputs), rng.randrange(outputs))) if outputs > 1 else []
    return tuple(stop - start for start, stop in zip([0, *cuts], [*cuts, outputs], strict=True))


def in_stages(model: onnx.ModelProto, seed: int = 0) -> tuple[onnx.ModelProto, int]:
    """A copy in which all of it is done, and how much that is."""
    steps = frame_steps(model, seed)
    return ir.to_proto(write_frames(load(model).graph, steps)), len(steps)


def random_frames(seed: int) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """Frames of signals of any length, padded or not, none of them now and then, by every operator that takes them."""
    made, rng = Grown(seed), Random(seed + 1)
    length = rng.choice([48, 60, 64, 72, 80, 96])
    hop = rng.choice([length // 4, length // 2, 3 * length // 8, length, 2 * length, 24, 16])
    batch = rng.choice([1, 1, 2, 3, 0])
    samples = length + rng.choice([0, 1, hop - 1, hop, 3 * hop + 5, rng.randrange(400)])
    window = rng.choice([None, np.hanning(length + 1)[:-1], made.values.uniform(0.5, 1.5, length)])
    if window is not None and rng.random() < 0.3:
        window = np.where(abs(np.arange(length) - length // 2) < 3 * length // 8, window, 0)
    if rng.random() < 0.5:
        made.opset = rng.choice([17, 17, 18, 20])
        value = _stft(made, rng, window, (batch, samples), length, hop)
    else:
        value = _conv(made, rng, window, (batch, samples), length, hop)
    if rng.random() < 0.7:
        value = _power(made, rng, value)
        if helper.get_node_attr_value(made.nodes[-1], "keepdims") == 0 and rng.random() < 0.8:
            value = _mel(made, rng, value)
    if rng.random() < 0.3:
        made.outputs.append(value)
    for _ in range(rng.choice([0, 1, 1, 2])):
        value = made.op(rng.choice(["Relu", "Neg", "Transpose", "Abs"]), value)
    return made.model(value), made.feeds


def _stft(made: Grown, rng: Random, window, extents, length: int, hop: int) -> str:
    window = np.ones(length) if window is None else window
    rank = rng.choice([2, 3])
    made.inputs["x"], made.feeds["x"] = ["b", "n", 1][:rank], made.normal(*extents, 1)[..., 0:1]
    if rank == 2:
        made.feeds["x"] = made.feeds["x"][..., 0]
    signal = _padded(made, rng, "x", length) if rank == 2 or rng.random() < 0.3 else "x"
    names = [signal, made.constant(np.int64(hop)), made.constant(window.astype(np.float32))]
    names += [made.constant(np.int64(length))] if rng.random() < 0.3 else []
    onesided = rng.choice([0, 1, 1])
    made.bins = length // 2 + 1 if onesided else length
    return made.op("STFT", *names, onesided=onesided)


def _padded(made: Grown, rng: Random, signal: str, length: int) -> str:
    """A signal with zeros on its sides, as convolutions have them, or with something that is nearly that."""
    if rng.random() < 0.5:
        return signal
    rank = made.feeds[signal].ndim
    pads = [0] * (2 * rank)
    time = 1 if rank == 3 and made.inputs[signal][-1] == 1 else rank - 1
    pads[time], pads[rank + time] = (rng.choice([0, 1, length // 2, rng.randrange(length)]) for _ in range(2))
    mode, filled = rng.choice(["constant"] * 4 + ["reflect", "edge"]), rng.choice([None, None, 0.0, 1.0])
    if mode == "reflect":
        pads = [min(one, made.feeds[signal].shape[time] - 1) for one in pads]
    operands = [signal, made.constant(np.int64(pads))]
    if mode == "constant" and filled is not None:
        operands.append(made.constant(np.float32(filled)))
    value = made.op("Pad", *operands, mode=mode)
    if rng.random() < 0.1:
        made.outputs.append(value)
    return value


def _mel(made: Grown, rng: Random, value: str) -> str:
    """A product behind a power, frames first or not, of all frames or of fewer, or what is nearly one."""
    last = made.nodes[-1].input[0] not in {one.output[0] for one in made.nodes if one.op_type in ("Reshape", "Conv")}
    for _ in range(rng.choice([0, 0, 1, 2])):
        if rng.random() < 0.5:
            value, last = made.op("Transpose", value, perm=[0, 2, 1]), not last
        else:
            cut = [made.constant(np.int64([one])) for one in (0, rng.choice([-1, 1, 1 << 40]))]
            axis = rng.choice([1, 1, -2, 2, 0] if last else [2, 2, -1, 1, 0])
            value = made.op("Slice", value, *cut, made.constant(np.int64([axis])))
        if rng.random() < 0.1:
            made.outputs.append(value)
    weight = bank(made.bins, rng.choice([1, 4, 12, 40]), made.values)
    if rng.random() < 0.1:
        weight = abs(made.normal(*weight.shape))
    if last != (rng.random() < 0.02):
        return made.op("MatMul", value, made.constant(weight))
    return made.op("MatMul", made.constant(np.ascontiguousarray(weight.T)), value)


def _power(made: Grown, rng: Random, value: str) -> str:
    """The power or the magnitude, or what is nearly one."""
    if rng.random() < 0.2:
        made.outputs.append(value)
    if made.nodes[-1].op_type == "Conv":
        shape = [0, 2, made.bins, -1] if rng.random() < 0.9 else [-1, 2, 1, made.bins]
        value, axis = made.op("Reshape", value, made.constant(np.int64(shape))), rng.choice([1, 1, -3, 2])
    else:
        axis = rng.choice([-1, -1, 3, 2])
        if rng.random() < 0.4:
            cut = rng.choice([1, 1, -3, 2, 0, 3])
            operands = [made.constant(np.int64([one])) for one in (0, rng.choice([-1, 1, 1 << 40]), cut)]
            value = made.op("Slice", value, *operands)
    op, keeps = rng.choice(["ReduceSumSquare", "ReduceSumSquare", "ReduceL2"]), rng.choice([0, 0, 1])
    if made.opset >= 18:
        return made.op(op, value, made.constant(np.int64([axis])), keepdims=keeps)
    return made.op(op, value, axes=[axis], keepdims=keeps)


def _conv(made: Grown, rng: Random, window, extents, length: int, hop: int) -> str:
    weight = fourier(length, window=window, halves=rng.random() < 0.7)
    if rng.random() < 0.3:
        weight = weight[:, : weight.shape[1] - rng.choice([1, 2, 4])]
    if rng.random() < 0.1:
        weight = made.normal(*weight.shape)
    made.bins = weight.shape[1] // 2
    batch, samples = extents
    made.inputs["x"] = [rng.choice(["b", batch]) if batch else "b", 1, rng.choice(["n", samples])]
    made.feeds["x"] = made.normal(batch, 1, samples)
    if rng.random() < 0.4:  # the channel comes later
        del made.inputs["x"][1]
        made.feeds["x"] = made.feeds["x"][:, 0]
        signal = made.with_axes("Unsqueeze", _padded(made, rng, "x", length), [1])
    else:
        signal = _padded(made, rng, "x", length)
    operands = [signal, made.constant(np.ascontiguousarray(weight.T)[:, None])]
    if rng.random() < 0.3:
        operands.append(made.constant(made.normal(weight.shape[1])))
    attributes: dict = {"strides": [hop]}
    if rng.random() < 0.4:
        attributes["pads"] = [rng.randrange(length), rng.randrange(length)]
    elif rng.random() < 0.1:
        attributes["auto_pad"] = rng.choice(["VALID", "SAME_UPPER"])
    return made.op("Conv", *operands, **attributes)
