"""One operator at a time with random operands and attributes, and what comes out of it."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import onnx
from onnx import helper, numpy_helper

Made: TypeAlias = tuple[list[Any], dict[str, Any]]  # operands: fed, `Held` in the model, or None; attributes
FAR = (0, 1, 2, 3, 7, 100, -1, -2, -3, -100, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63) + 1, -(2**63))
SINCE = {"Col2Im": 18, "STFT": 17, "HannWindow": 17, "GridSample": 16, "DFT": 17}
SINCE |= {"Gelu": 20, "Mish": 18, "BitwiseAnd": 18, "BitwiseOr": 18, "BitwiseXor": 18, "BitwiseNot": 18, "LpPool": 18}
SINCE |= {"HardSwish": 14, "Trilu": 14, "Swish": 24}
LOGICAL = ("And", "Or", "Xor", "Not")
UNARY = ("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Celu", "Cos", "Cosh", "Elu", "Erf", "Exp")
UNARY += ("Floor", "Gelu", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "HardSigmoid", "HardSwish", "Identity")
UNARY += ("IsInf", "IsNaN", "LRN", "LeakyRelu", "Log", "Mish", "Neg", "Reciprocal", "Relu", "Round", "Selu")
UNARY += ("Shape", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Size", "Softplus", "Softsign", "Sqrt", "Swish", "Tan")
UNARY += ("Tanh", "ThresholdedRelu", "Dropout")


class Held:
    """An operand that stands in the model."""

    def __init__(self, array: Any, kind: type = np.int64) -> None:
        self.array = np.asarray(array, kind)


class Results:
    """Random uses of the operators of ONNX."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.opset = 0
        self.shape = self.extents(4)
        self.x = self.data(*self.shape)

    def make(self, op: str) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
        """A model of one such operator, and what to feed it."""
        self.opset = max(int(self.pick(11, 13, 17, 18, 20, 21)), SINCE.get(op, 0)) if op != "Upsample" else 9
        operands, attributes = self.operands(op)
        feeds, constants, names = {}, [], []
        for place, one in enumerate(operands):
            names.append("" if one is None else f"i{place}")
            if isinstance(one, Held):
                constants.append(numpy_helper.from_array(one.array, names[-1]))
            elif one is not None:
                feeds[names[-1]] = one
        outputs = [f"o{place}" for place in range(attributes.pop("outputs", 1))]
        told = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in feeds.items()
        ]
        node = helper.make_node(op, names, outputs, op, **attributes)
        graph = helper.make_graph([node], op, told, [onnx.ValueInfoProto(name=one) for one in outputs], constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8), feeds

    def operands(self, op: str) -> Made:
        """Of an operator, and its attributes."""
        own = getattr(self, f"of_{op.lower()}", None)
        if own is not None:
            return own(op)
        if op.startswith("Reduce"):
            return self.reduced()
        if op in UNARY:
            spatial = op.startswith("Global") or op == "LRN"
            return [self.x if spatial else self.data(*self.extents(self.whole(0, 4)))], {
                "size": 3
            } if op == "LRN" else {}
        first, second = self.broadcast()
        if op in LOGICAL or op.startswith("Bitwise"):
            kind = bool if op in LOGICAL else np.int32
            return [one.astype(kind) for one in (first, second)][: 1 if op.endswith("Not") else 2], {}
        return [first, second], {"fmod": 1} if op == "Mod" else {}

    # Draws.

    def data(self, *shape: int) -> np.ndarray:
        return self.rng.standard_normal(shape).astype(np.float32)

    def extents(self, rank: int, low: int = 1, high: int = 9) -> list[int]:
        return [int(one) for one in self.rng.integers(low, high + 1, rank)]

    def whole(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def pick(self, *among: Any) -> Any:
        return among[int(self.rng.integers(len(among)))]

    def some(self, **attributes: Any) -> dict[str, Any]:
        return {name: value for name, value in attributes.items() if self.rng.random() < 0.5}

    def axis(self, rank: int = 4) -> int:
        return self.whole(-rank, rank - 1)

    def axes(self) -> list[int]:
        found = [int(one) for one in self.rng.permutation(4)[: self.whole(1, 4)]]
        return [self.pick(one, one - 4) for one in found]

    def broadcast(self) -> list[np.ndarray]:
        whole = self.extents(self.whole(0, 4))
        shapes = [[self.pick(1, n) for n in whole][self.whole(0, len(whole)) :] for _ in range(2)]
        return [self.data(*one) for one in shapes]

    def window(self, op: str) -> dict[str, Any]:
        kernel = self.extents(2, 1, 4)
        found = {"kernel_shape": kernel, **self.some(strides=self.extents(2, 1, 4), dilations=self.extents(2, 1, 3))}
        if self.opset < 19 and op == "AveragePool":
            found.pop("dilations", None)
        if self.rng.random() < 0.4:
            found["auto_pad"] = self.pick("SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET")
        elif self.rng.random() < 0.7:
            found["pads"] = [self.whole(0, n - 1) for n in kernel * 2]
        return found

    # Operators that are told more than what they read.

    def of_maxpool(self, op: str) -> Made:
        both = {"outputs": 2} if op == "MaxPool" and self.rng.random() < 0.5 else {}
        return [self.x], {**self.window(op), **self.some(ceil_mode=1), **both}

    of_averagepool = of_lppool = of_maxpool

    def of_conv(self, op: str) -> Made:
        told, (group, each, out) = self.window(op), self.extents(3, 1, 3)
        kernel = told["kernel_shape"] if self.rng.random() < 0.5 else told.pop("kernel_shape")
        x = self.data(self.shape[0], group * each, *self.shape[2:])
        return [x, self.data(group * out, each, *kernel)], {**told, "group": group}

    def of_convtranspose(self, op: str) -> Made:
        told, (group, each, out) = self.window(op), self.extents(3, 1, 3)
        kernel, strides = told.pop("kernel_shape"), told.setdefault("strides", [2, 3])
        told |= self.some(output_padding=[self.whole(0, n - 1) for n in strides])
        if self.rng.random() < 0.2:
            told["output_shape"] = self.extents(2, 5, 30)
        x = self.data(self.shape[0], group * each, *self.shape[2:])
        return [x, self.data(group * each, out, *kernel)], {**told, "group": group}

    def of_convinteger(self, op: str) -> Made:
        (x, w), told = self.of_conv(op)
        return [x.astype(np.uint8), w.astype(np.uint8)], told

    def of_qlinearconv(self, op: str) -> Made:
        (x, w), told = self.of_conv(op)
        scale, zero = Held(0.1, np.float32), Held(0, np.uint8)
        return [x.astype(np.uint8), scale, zero, w.astype(np.uint8), scale, zero, scale, zero], told

    def of_matmul(self, op: str) -> Made:
        (first, _), (m, k, n) = self.broadcast(), self.extents(3)
        kind = self.whole(0, 3)
        one = self.data(*first.shape[:2], m, k) if kind != 1 else self.data(k)
        other = self.data(*(() if first.ndim else (2,)), k, n) if kind != 2 else self.data(k)
        return [one, other], {}

    def of_matmulinteger(self, op: str) -> Made:
        return [one.astype(np.uint8) for one in self.of_matmul(op)[0]], {}

    def of_qlinearmatmul(self, op: str) -> Made:
        scale, zero = Held(0.1, np.float32), Held(0, np.uint8)
        one, other = self.of_matmulinteger(op)[0]
        return [one, scale, zero, other, scale, zero, scale, zero], {}

    def of_gemm(self, op: str) -> Made:
        (m, k, n), (a, b) = self.extents(3), (self.whole(0, 1), self.whole(0, 1))
        c = self.pick(None, self.data(n), self.data(m, 1), self.data())
        operands = [self.data(*((k, m) if a else (m, k))), self.data(*((n, k) if b else (k, n))), c]
        return operands[: 2 if c is None else 3], {"transA": a, "transB": b}

    def of_einsum(self, op: str) -> Made:
        a, b, c, d = self.shape
        said, other = self.pick(
            ("abcd,de->abce", (d, 3)), ("abcd,de", (d, 3)), ("...d,de->...e", (d, 3)), ("...d,de->e...", (d, 3)),
            ("abcd,aecd->abe", (a, 5, c, d)), ("ab...,eb...->ae...", (4, b, c, d)), ("abcd,d->", (d,)),
            ("abcd,abcd->dcba", (a, 1, c, 1)), ("...d,...d->...", (c, d)), ("abcc->ac", None),
        )  # fmt: skip
        x = self.data(a, b, c, c) if other is None else self.x
        return [x] if other is None else [x, self.data(*other)], {"equation": said}

    def of_slice(self, op: str) -> Made:
        axes = self.axes()
        bounds = [Held([self.pick(*FAR) for _ in axes]) for _ in range(2)]
        steps = [self.pick(1, 1, 2, 3, 2**31, -1, -2) for _ in axes]
        if self.rng.random() < 0.3:
            bounds, steps = [Held([-1] * len(axes)), Held([self.pick(*FAR)] * len(axes))], [-1] * len(axes)
        return [self.x, *bounds, Held(axes), Held(steps)][: self.pick(4, 5, 5)], {}

    def of_resize(self, op: str) -> Made:
        told = {**self.some(coordinate_transformation_mode=self.pick("asymmetric", "align_corners", "half_pixel"))}
        told |= self.some(mode=self.pick("nearest", "linear", "cubic"))
        scales, sizes = (
            [1, 1, *self.rng.choice([2, 3, 1, 0.7, 1.1, 1 / 3, 2.5, 0.5], 2)],
            [*self.shape[:2], *self.extents(2)],
        )
        if self.opset >= 18 and self.rng.random() < 0.3:
            told["axes"], scales, sizes = self.pick([2, 3], [-1, -2]), scales[2:], sizes[2:]
            told |= self.some(keep_aspect_ratio_policy=self.pick("not_larger", "not_smaller"))
        if self.rng.random() < 0.5 and "keep_aspect_ratio_policy" not in told:
            return [self.x, None, Held(scales, np.float32)], told
        return [self.x, None, None, Held(sizes)], told

    def of_upsample(self, op: str) -> Made:
        return [self.x, Held([1, 1, *self.rng.choice([1, 2, 3, 1.1, 1.3, 2.5], 2)], np.float32)], {}

    def of_range(self, op: str) -> Made:
        kind = self.pick(np.int64, np.int32, np.float32)
        whole = [self.whole(-5, 5), self.whole(-9, 20), self.pick(1, 2, 3, -1, -3)]
        parts = [self.pick(0, 0.1), self.pick(1, 0.9, 5), self.pick(0.1, 0.3, 0.7)]
        return [Held(one, kind) for one in (parts if kind is np.float32 else whole)], {}

    def of_prelu(self, op: str) -> Made:
        return self.broadcast(), {}

    def of_clip(self, op: str) -> Made:
        return [self.x, Held(-1, np.float32)], {}

    def of_where(self, op: str) -> Made:
        first, second = self.broadcast()
        return [np.asarray(self.pick(first, second, self.data()) > 0), first, second], {}

    def of_cast(self, op: str) -> Made:
        return [self.x], {"to": self.pick(1, 6, 7, 9, 10, 11)}

    def of_softmax(self, op: str) -> Made:
        return [self.x], {"axis": self.axis()}

    of_logsoftmax = of_hardmax = of_lpnormalization = of_softmax

    def of_flatten(self, op: str) -> Made:
        return [self.x], {"axis": self.whole(-4, 4)}

    def of_argmax(self, op: str) -> Made:
        return [self.x], {"axis": self.axis(), **self.some(keepdims=self.whole(0, 1))}

    of_argmin = of_argmax

    def reduced(self) -> Made:
        told = {"keepdims": self.whole(0, 1)}
        x = np.abs(self.x)
        return ([x, Held(self.axes())], told) if self.opset >= 18 else ([x], {**told, **self.some(axes=self.axes())})

    def of_reducesum(self, op: str) -> Made:
        told = {"keepdims": self.whole(0, 1), **self.some(noop_with_empty_axes=1)}
        if self.opset < 13:
            return [self.x], {"keepdims": told["keepdims"], "axes": self.axes()}
        return [self.x, self.pick(None, Held([]), Held(self.axes()))], told

    def of_layernormalization(self, op: str) -> Made:
        self.opset, axis = max(self.opset, 17), self.axis()
        return [self.x, self.data(*self.shape[axis:])], {"axis": axis, "outputs": self.pick(1, 3)}

    def of_batchnormalization(self, op: str) -> Made:
        return [self.x, *(self.data(self.shape[1]) for _ in range(3)), np.ones(self.shape[1], np.float32)], {}

    def of_instancenormalization(self, op: str) -> Made:
        return [self.x, self.data(self.shape[1]), self.data(self.shape[1])], {}

    def of_dynamicquantizelinear(self, op: str) -> Made:
        return [self.x], {"outputs": 3}

    def of_quantizelinear(self, op: str) -> Made:
        axis = self.whole(0, 3)
        return [self.x, np.ones(self.shape[axis], np.float32), np.zeros(self.shape[axis], np.uint8)], {"axis": axis}

    def of_dequantizelinear(self, op: str) -> Made:
        operands, told = self.of_quantizelinear(op)
        return [operands[0].astype(np.uint8), *operands[1:]], told

    def of_transpose(self, op: str) -> Made:
        return [self.x], self.some(perm=[int(one) for one in self.rng.permutation(4)])

    def of_reshape(self, op: str) -> Made:
        a, b, c, d = self.shape
        targets = [0, -1, d], [a * b, c, d, 1], [-1], [0, 0, 0, -1], [a, -1, c], [d, 0, -1], [1, -1, 1, 0]
        return [self.x, Held(self.pick(*targets))], self.some(allowzero=0) if self.opset >= 14 else {}

    def of_squeeze(self, op: str) -> Made:
        x, axes = self.data(self.shape[0], 1, self.shape[2], 1), self.pick([1], [-1], [1, 3], [-3, 3])
        if self.opset < 13:
            return [x], self.some(axes=axes)
        return [x, Held(axes)][: self.whole(1, 2)], {}

    def of_unsqueeze(self, op: str) -> Made:
        axes = self.pick([0], [-1], [2, 0], [-1, -3], [5, 1])
        return ([self.x], {"axes": axes}) if self.opset < 13 else ([self.x, Held(axes)], {})

    def of_concat(self, op: str) -> Made:
        axis = self.axis()
        other = [*self.shape]
        other[axis] = self.whole(0, 4)
        return [self.x, self.data(*other), self.x], {"axis": axis}

    def of_expand(self, op: str) -> Made:
        a, b, c, _ = self.shape
        return [
            self.data(a, 1, c, 1),
            Held(self.pick([3, 1, 1, 1, 5], [1, b, 1, 4], [1], [], [7], [2, a, 4, c, 1])),
        ], {}

    def of_gather(self, op: str) -> Made:
        return [self.x, Held(self.pick(0, [0, -1], [[0], [-1], [0]], []))], {"axis": self.axis()}

    def of_gatherelements(self, op: str) -> Made:
        return [self.x, np.zeros([*self.shape[:2], 1, 2], np.int64)], {"axis": 3}

    def of_gathernd(self, op: str) -> Made:
        lead = self.shape[: self.whole(0, 1)]
        return [self.x, np.zeros([*lead, *self.extents(self.whole(0, 2)), self.whole(1, 3)], np.int64)], {
            "batch_dims": len(lead)
        }

    def of_scatterelements(self, op: str) -> Made:
        return [self.x, np.zeros((1, 1, 1, 1), np.int64), self.data(1, 1, 1, 1)], {"axis": self.axis()}

    def of_scatternd(self, op: str) -> Made:
        return [self.x, np.zeros((3, 2), np.int64), self.data(3, *self.shape[2:])], {}

    def of_split(self, op: str) -> Made:
        axis, n = self.axis(), self.whole(1, 4)
        self.x = self.data(*[5 + one for one in self.shape])
        whole = self.x.shape[axis]
        parts = [1, whole - 3, 2]
        if self.opset < 13:
            return [self.x], {"axis": axis, "split": parts, "outputs": 3}
        if self.opset < 18 or self.rng.random() < 0.5:
            return [self.x, Held(parts)], {"axis": axis, "outputs": 3}
        return [self.x], {"axis": axis, "num_outputs": n, "outputs": n}

    def of_tile(self, op: str) -> Made:
        return [self.x, Held(self.extents(4, 0, 3))], {}

    def of_pad(self, op: str) -> Made:
        mode = {"mode": self.pick("constant", "edge", "reflect")}
        if self.opset >= 18 and self.rng.random() < 0.4:
            return [self.x, Held([self.whole(-2, 3) for _ in range(4)]), None, Held([2, -1])], mode
        return [self.x, Held([self.whole(-2, 3) for _ in range(8)])], mode

    def of_onehot(self, op: str) -> Made:
        return [np.zeros(self.shape, np.int64), Held(4), Held([0, 1], np.float32)], {"axis": self.whole(-5, 4)}

    def of_topk(self, op: str) -> Made:
        axis = self.axis()
        return [self.x, Held([self.whole(1, self.shape[axis])])], {"axis": axis, "outputs": 2}

    def of_compress(self, op: str) -> Made:
        return [self.x, Held([True, False], bool)], self.some(axis=self.axis())

    def of_cumsum(self, op: str) -> Made:
        return [self.x, Held(self.axis())], {}

    def of_eyelike(self, op: str) -> Made:
        return [self.data(*self.shape[:2])], {}

    def of_trilu(self, op: str) -> Made:
        return [self.x], {}

    def of_depthtospace(self, op: str) -> Made:
        return [self.data(2, 12, *self.shape[2:])], {"blocksize": 2, "mode": self.pick("DCR", "CRD")}

    def of_spacetodepth(self, op: str) -> Made:
        n = self.whole(1, 3)
        return [self.data(2, 3, *(n * one for one in self.shape[2:]))], {"blocksize": n}

    def of_constant(self, op: str) -> Made:
        return [], self.pick({"value_ints": [1, 2]}, {"value_float": 2.0}, {"value_int": 1})

    def of_constantofshape(self, op: str) -> Made:
        return [Held(self.extents(self.whole(0, 3), 0))], {}

    def of_gridsample(self, op: str) -> Made:
        return [self.x, self.data(self.shape[0], *self.extents(2), 2)], {}

    def of_reversesequence(self, op: str) -> Made:
        return [self.x, np.ones(self.shape[1], np.int64)], {}

    def of_hannwindow(self, op: str) -> Made:
        return [Held(self.whole(3, 9))], {}

    def of_col2im(self, op: str) -> Made:
        kernel, image = self.extents(2, 1, 3), self.extents(2, 3, 7)
        blocks = (image[0] - kernel[0] + 1) * (image[1] - kernel[1] + 1)
        return [self.data(2, 3 * kernel[0] * kernel[1], blocks), Held(image), Held(kernel)], {}

    def of_dft(self, op: str) -> Made:
        told = {"onesided": self.whole(0, 1), **({"axis": 1} if self.opset < 20 else {})}
        return [self.data(2, 7, 1), Held(self.whole(3, 12))][: self.whole(1, 2)], told

    def of_stft(self, op: str) -> Made:
        long = self.whole(4, 12)
        operands = [self.data(2, self.whole(20, 40), 1), Held(self.whole(1, 6)), self.pick(None, self.data(long))]
        return [*operands, Held(long)], {"onesided": self.whole(0, 1)}

    def of_lstm(self, op: str) -> Made:
        gates, ways = {"LSTM": 4, "GRU": 3, "RNN": 1}[op], self.whole(1, 2)
        way = {"direction": "bidirectional"} if ways == 2 else {}
        weights = self.data(ways, gates * 4, 3), self.data(ways, gates * 4, 4)
        return [self.data(*self.extents(2), 3), *weights], {**way, "hidden_size": 4, "outputs": 3 - (op != "LSTM")}

    of_gru = of_rnn = of_lstm
