"""Models with the signatures that exporters give: names, types and open dimensions of inputs as Optimum, NeMo, Paddle,
Ultralytics, Piper and Silero write them, and what those inputs must be for the model to run or to show anything."""

import itertools
import math

import numpy as np
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

D, HEADS, VOCABULARY, POSITIONS = 32, 2, 50, 24


def blocks(rng, rows, columns, parts=4):
    """A weight (rows, columns) of independent blocks."""
    W = np.zeros((rows, columns), np.float32)
    for part in range(parts):
        r, c = rows // parts, columns // parts
        W[part * r : part * r + r, part * c : part * c + c] = rng.standard_normal((r, c)) / math.sqrt(r)
    return W


class Export:
    """Nodes one after another; what a method returns is the name of a value."""

    def __init__(self):
        self.nodes, self.constants, self.inputs, self.outputs, self.number = [], {}, [], [], itertools.count()
        self.rng = np.random.default_rng(0)

    def nested(self):
        """The nodes of a graph inside of this one."""
        way = Export()
        way.number, way.constants, way.rng = self.number, self.constants, self.rng
        return way

    def input(self, name, dtype, *shape):
        self.inputs.append(h.make_tensor_value_info(name, dtype, list(shape)))
        return name

    def constant(self, value, dtype=np.int64, name=None):
        name = name or f"constant_{next(self.number)}"
        self.constants[name] = np.asarray(value, dtype)
        return name

    def weight(self, rows, columns):
        return self.constant(blocks(self.rng, rows, columns), np.float32, f"weight_{next(self.number)}")

    def op(self, op, *inputs, count=1, **attributes):
        outputs = [f"{op.lower()}_{next(self.number)}" for _ in range(count)]
        self.nodes.append(h.make_node(op, list(inputs), outputs, name=f"/{op}_{next(self.number)}", **attributes))
        return outputs[0] if count == 1 else outputs

    def linear(self, x, rows, columns):
        return self.op("Add", self.op("MatMul", x, self.weight(rows, columns)), self.constant(np.zeros(columns), "f4"))

    def extent(self, x, axis):
        """The size of a dimension, shape [1]."""
        return self.op("Slice", self.op("Shape", x), self.constant([axis]), self.constant([axis + 1]))

    def floats(self, x):
        return self.op("Cast", x, to=T.FLOAT)

    def attended(self, q, k, v, bias):
        """Attention of heads (batch, heads, positions, features), as rows (batch, positions, D)."""
        scores = self.op("MatMul", q, self.op("Transpose", k, perm=[0, 1, 3, 2]))
        shown = self.op("Softmax", self.op("Add", scores, bias), axis=-1)
        rows = self.op("Transpose", self.op("MatMul", shown, v), perm=[0, 2, 1, 3])
        return self.op("Reshape", rows, self.constant([0, 0, D]))

    def headed(self, x):
        split = self.op("Reshape", self.linear(x, D, D), self.constant([0, 0, HEADS, D // HEADS]))
        return self.op("Transpose", split, perm=[0, 2, 1, 3])

    def hiding(self, mask):
        """What a mask (batch, positions) of ones and zeros adds to scores."""
        wide = self.op("Unsqueeze", self.floats(mask), self.constant([1, 2]))
        hidden = self.op("Sub", self.constant(1, "f4"), wide)
        return self.op("Mul", hidden, self.constant(-1e9, "f4"))

    def output(self, value, name):
        self.nodes.append(h.make_node("Identity", [value], [name]))
        self.outputs.append(name)

    def model(self, opset=17):
        graph = h.make_graph(
            self.nodes, "main_graph", self.inputs,
            [h.make_tensor_value_info(one, T.FLOAT, None) for one in self.outputs],
            [nh.from_array(array, name) for name, array in self.constants.items()],
        )  # fmt: skip
        return h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=8)


def encoder():
    """BERT as Optimum exports it: 24 positions at most, a mask, two types of tokens."""
    net = Export()
    ids, mask, types = (
        net.input(name, T.INT64, "batch_size", "sequence_length")
        for name in ("input_ids", "attention_mask", "token_type_ids")
    )
    table = net.constant(net.rng.standard_normal((VOCABULARY, D)), np.float32, "word_embeddings")
    kinds = net.constant(net.rng.standard_normal((2, D)), np.float32, "token_type_embeddings")
    places = net.constant(net.rng.standard_normal((1, POSITIONS, D)), np.float32, "position_embeddings")
    cut = net.op("Slice", places, net.constant([0]), net.extent(ids, 1), net.constant([1]))
    x = net.op("Add", net.op("Add", net.op("Gather", table, ids), net.op("Gather", kinds, types)), cut)
    x = net.op("Add", x, net.attended(net.headed(x), net.headed(x), net.headed(x), net.hiding(mask)))
    net.output(net.linear(net.op("Relu", net.linear(x, D, 4 * D)), 4 * D, D), "last_hidden_state")
    return net.model()


def decoder():
    """A decoder with a cache: positions are looked up in a table, the mask is as long as cache and tokens together."""
    net = Export()
    ids = net.input("input_ids", T.INT64, "batch_size", "sequence_length")
    mask = net.input("attention_mask", T.INT64, "batch_size", "past_sequence_length + sequence_length")
    at = net.input("position_ids", T.INT64, "batch_size", "sequence_length")
    past = [
        net.input(f"past_key_values.0.{one}", T.FLOAT, "batch_size", HEADS, "past_sequence_length", D // HEADS)
        for one in ("key", "value")
    ]
    table = net.constant(net.rng.standard_normal((VOCABULARY, D)), np.float32, "wte")
    places = net.constant(net.rng.standard_normal((POSITIONS, D)), np.float32, "wpe")
    x = net.op("Add", net.op("Gather", table, ids), net.op("Gather", places, at))
    keys, values = (net.op("Concat", old, net.headed(x), axis=2) for old in past)
    x = net.op("Add", x, net.attended(net.headed(x), keys, values, net.hiding(mask)))
    net.output(net.linear(net.op("Relu", net.linear(x, D, 4 * D)), 4 * D, D), "logits")
    net.output(keys, "present.0.key")
    net.output(values, "present.0.value")
    return net.model()


def merged_decoder():
    """The same in two branches, one without a cache: `use_cache_branch` decides."""
    net = Export()
    ids = net.input("input_ids", T.INT64, "batch_size", "sequence_length")
    mask = net.input("attention_mask", T.INT64, "batch_size", "attention_mask_sequence_length")
    past = [
        net.input(f"past_key_values.0.{one}", T.FLOAT, "batch_size", HEADS, "past_sequence_length", D // HEADS)
        for one in ("key", "value")
    ]
    cached = net.input("use_cache_branch", T.BOOL, 1)
    x = net.op("Gather", net.constant(net.rng.standard_normal((VOCABULARY, D)), np.float32, "wte"), ids)
    ways = {}
    for name in ("then_branch", "else_branch"):
        way = net.nested()
        fresh = [way.headed(x) for _ in past]
        kept = [way.op("Concat", old, new, axis=2) for old, new in zip(past, fresh, strict=True)]
        keys, values = kept if name == "then_branch" else fresh
        shown = way.op("Slice", mask, way.constant([0]), way.extent(keys, 2), way.constant([1]))
        if name == "then_branch":
            shown = mask
        end = way.op("Add", x, way.attended(way.headed(x), keys, values, way.hiding(shown)))
        ways[name] = h.make_graph(way.nodes, name, [], [h.make_tensor_value_info(end, T.FLOAT, None)])
    net.output(net.linear(net.op("If", cached, **ways), D, D), "logits")
    return net.model()


def unet():
    """A UNet of diffusion: two halvings, which ask for a multiple of 4, a time step, what text says of the picture."""
    net = Export()
    sample = net.input("sample", T.FLOAT, "batch_size", "num_channels", "height", "width")
    step = net.input("timestep", T.INT64, "steps")
    text = net.input("encoder_hidden_states", T.FLOAT, "batch_size", "sequence_length", D)

    def conv(x, channels, kernels, stride=1):
        weight = net.rng.standard_normal((kernels, channels, 3, 3)) / math.sqrt(9 * channels)
        weight = net.constant(weight, np.float32)
        return net.op("Conv", x, weight, pads=[1, 1, 1, 1], strides=[stride, stride])

    angles = net.op(
        "Mul", net.op("Unsqueeze", net.floats(step), net.constant([1])), net.constant([[1, 0.1, 0.01]], "f4")
    )
    time = net.linear(net.op("Concat", net.op("Sin", angles), net.op("Cos", angles), *[angles] * 2, axis=-1), 12, D)
    top = conv(sample, 4, D)
    half = net.op("Add", conv(top, D, D, 2), net.op("Unsqueeze", time, net.constant([2, 3])))
    quarter = net.op("Relu", conv(half, D, D, 2))
    flat = net.op("Transpose", net.op("Reshape", quarter, net.constant([0, D, -1])), perm=[0, 2, 1])
    seen = net.attended(net.headed(flat), net.headed(text), net.headed(text), net.constant(0, "f4"))
    back = net.op("Transpose", net.op("Add", flat, net.linear(seen, D, D)), perm=[0, 2, 1])
    x = net.op("Reshape", back, net.op("Shape", quarter))
    for skip in (half, top):
        up = net.op("Resize", x, "", net.constant([1, 1, 2, 2], "f4"), mode="nearest")
        x = conv(net.op("Concat", up, skip, axis=1), 2 * D, D)
    net.output(conv(x, D, 4), "out_sample")
    return net.model()


def speech():
    """An encoder of speech with lengths: what is padded adds nothing, every fourth frame is kept."""
    net = Export()
    signal = net.input("audio_signal", T.FLOAT, "audio_signal_dynamic_axes_1", D, "audio_signal_dynamic_axes_2")
    length = net.input("length", T.INT64, "length_dynamic_axes_1")
    count = net.op("Squeeze", net.extent(signal, 2), net.constant([0]))
    places = net.op("Range", net.constant(0), count, net.constant(1))
    inside = net.op(
        "Less", net.op("Unsqueeze", places, net.constant([0])), net.op("Unsqueeze", length, net.constant([1]))
    )
    kept = net.op("Mul", signal, net.floats(net.op("Unsqueeze", inside, net.constant([1]))))
    frames = net.op("Conv", kept, net.constant(net.rng.standard_normal((D, D, 4)) / 8, "f4"), strides=[4], pads=[2, 1])
    rows = net.op("Transpose", frames, perm=[0, 2, 1])
    net.output(net.linear(net.op("Relu", net.linear(rows, D, 4 * D)), 4 * D, D), "outputs")
    return net.model()


def voice_activity():
    """A detector of voice for two sample rates, each with a network and a window of its own."""
    net = Export()
    signal = net.input("input", T.FLOAT, "batch", "samples")
    state = net.input("state", T.FLOAT, 2, "batch", D)
    rate = net.input("sr", T.INT64)
    ways = {}
    for name, window in (("then_branch", 64), ("else_branch", 32)):
        way = net.nested()
        past = way.op("Gather", state, way.constant(0), axis=0)
        end = way.op("Add", way.linear(signal, window, D), way.linear(past, D, D))
        ways[name] = h.make_graph(way.nodes, name, [], [h.make_tensor_value_info(end, T.FLOAT, None)])
    net.output(net.op("If", net.op("Equal", rate, net.constant(16000)), **ways), "output")
    return net.model()


def detector():
    """A detector as Paddle exports it: a picture of a multiple of 8, its size, its scale; boxes without overlap."""
    net = Export()
    shape = net.input("im_shape", T.FLOAT, "batch", 2)
    picture = net.input("image", T.FLOAT, "batch", 3, "height", "width")
    scale = net.input("scale_factor", T.FLOAT, "batch", 2)

    def conv(x, channels, kernels, stride=1):
        weight = net.constant(net.rng.standard_normal((kernels, channels, 3, 3)) / math.sqrt(9 * channels), np.float32)
        return net.op("Relu", net.op("Conv", x, weight, pads=[1, 1, 1, 1], strides=[stride, stride]))

    fine = conv(conv(picture, 3, 8, 2), 8, D, 2)
    coarse = conv(fine, D, D, 2)
    up = net.op("Resize", coarse, "", net.constant([1, 1, 2, 2], "f4"), mode="nearest")
    x = net.op("Concat", fine, up, axis=1)
    rows = net.op("Transpose", net.op("Reshape", x, net.constant([0, 2 * D, -1])), perm=[0, 2, 1])
    rows = net.linear(rows, 2 * D, 16)
    boxes, scores = net.op("Split", rows, net.constant([4, 12]), axis=2, count=2)
    wide = net.op("Concat", shape, shape, axis=1)
    room = net.op("Unsqueeze", net.op("Div", wide, net.op("Concat", scale, scale, axis=1)), net.constant([1]))
    boxes = net.op("Mul", net.op("Sigmoid", boxes), room)
    scores = net.op("Transpose", net.op("Sigmoid", scores), perm=[0, 2, 1])
    limits = net.constant([10], np.int64), net.constant([0.5], "f4"), net.constant([0.3], "f4")
    kept = net.op("NonMaxSuppression", boxes, scores, *limits)
    net.output(boxes, "boxes")
    net.output(net.floats(kept), "selected")
    return net.model()


def pictures():
    """A detector as Ultralytics exports it, of pictures of a multiple of 32."""
    net = Export()
    picture = net.input("images", T.FLOAT, "batch", "channels", "height", "width")

    def conv(x, channels, kernels, stride=2):
        weight = net.constant(net.rng.standard_normal((kernels, channels, 3, 3)) / math.sqrt(9 * channels), np.float32)
        return net.op("Relu", net.op("Conv", x, weight, pads=[1, 1, 1, 1], strides=[stride, stride]))

    x, kept = picture, []
    for channels, kernels in ((3, 8), (8, 8), (8, D), (D, D), (D, D)):
        x = conv(x, channels, kernels)
        kept.append(x)
    for skip in (kept[3], kept[2]):
        x = net.op("Concat", net.op("Resize", x, "", net.constant([1, 1, 2, 2], "f4"), mode="nearest"), skip, axis=1)
        x = conv(x, 2 * D, D, 1)
    rows = net.op("Transpose", net.op("Reshape", x, net.constant([0, D, -1])), perm=[0, 2, 1])
    net.output(net.linear(rows, D, D), "output0")
    return net.model()


def text_to_speech():
    """A synthesizer as Piper exports it: phonemes, how many of them count, and three scales."""
    net = Export()
    text = net.input("input", T.INT64, "batch_size", "phonemes")
    lengths = net.input("input_lengths", T.INT64, "batch_size")
    scales = net.input("scales", T.FLOAT, 3)
    x = net.op("Gather", net.constant(net.rng.standard_normal((VOCABULARY, D)), np.float32, "emb"), text)
    count = net.op("Squeeze", net.extent(text, 1), net.constant([0]))
    places = net.op("Unsqueeze", net.op("Range", net.constant(0), count, net.constant(1)), net.constant([0]))
    inside = net.floats(net.op("Less", places, net.op("Unsqueeze", lengths, net.constant([1]))))
    x = net.op("Mul", net.linear(x, D, D), net.op("Unsqueeze", inside, net.constant([2])))
    slow = net.op("Gather", scales, net.constant(1), axis=0)
    times = net.op("Ceil", net.op("Mul", net.op("ReduceMax", x, keepdims=0), slow))
    whole = net.op("Cast", net.op("Add", times, net.constant(1, "f4")), to=T.INT64)
    grid = net.op("Range", net.constant(0), whole, net.constant(1))  # fails where a scale is far below 0
    span = net.op("ReduceSum", net.op("Sqrt", net.floats(grid)), keepdims=0)
    net.output(net.op("Add", net.linear(x, D, D), span), "output")
    return net.model()


def sequence_to_sequence():
    """The decoder of a model from sequences to sequences, whose encoder halved what it read."""
    net = Export()
    ids = net.input("input_ids", T.INT64, "batch_size", "decoder_sequence_length")
    seen = net.input("encoder_hidden_states", T.FLOAT, "batch_size", "encoder_sequence_length / 2", D)
    mask = net.input("encoder_attention_mask", T.INT64, "batch_size", "encoder_sequence_length / 2")
    x = net.op("Gather", net.constant(net.rng.standard_normal((VOCABULARY, D)), np.float32, "wte"), ids)
    x = net.op("Add", x, net.attended(net.headed(x), net.headed(seen), net.headed(seen), net.hiding(mask)))
    net.output(net.linear(x, D, D), "logits")
    return net.model()


EXPORTS = {
    "encoder": encoder,
    "decoder with past": decoder,
    "decoder with past, merged": merged_decoder,
    "decoder of sequences": sequence_to_sequence,
    "diffusion UNet": unet,
    "speech with lengths": speech,
    "text to speech": text_to_speech,
    "If on a sample rate": voice_activity,
    "detector": detector,
    "detector of pictures": pictures,
}
