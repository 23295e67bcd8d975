"""Operators of random regions that compute element by element."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper
from region_linears import Linears
from region_ownership import combine, concrete


class Pointwise(Linears):
    """Each takes a random recent value and puts what comes of it."""

    def unary(self):
        v = self.recent()
        ops = [
            "Relu",
            "Abs",
            "Neg",
            "Identity",
            "Sign",
            "Floor",
            "Sigmoid",
            "Tanh",
            "Dropout",
            "Clip",
            "ClipOut",
            "Pow",
            "Sqrt",
            "LeakyRelu",
            "CastCast",
            "Exp",
            "Round",
            "Not",
        ]
        if self.dtype == np.float32:
            ops += ["Erf", "Softplus", "Elu", "HardSwish", "QuickGelu", "FastGelu", "Quantize", "Gelu", "GeluMs"]
        op = self.pick(ops)
        x, shape, owner = v.name, v.shape, v.owner
        if op == "Dropout":
            ratio = self.const(np.float32(0.5)) if self.chance(0.5) else ""
            ins = [x] + ([ratio] if ratio or self.chance(0.3) else [])
            if len(ins) == 2 and self.chance(0.3):
                ins.append(self.const(np.bool_(False)))
            if self.chance(0.2):
                outs = self.node("Dropout", ins, 2)
                name = outs[0]
                if self.chance(0.3):
                    self.outputs.append((outs[1], shape, TensorProto.BOOL))
            else:
                name = self.node("Dropout", ins)
        elif op == "Clip":
            name = self.node("Clip", [x, self.const(self.dtype.type(-3)), self.const(self.dtype.type(4))])
        elif op == "ClipOut":
            name = self.node("Clip", [x, "", self.input(())])
        elif op == "Pow":
            name = self.node("Pow", [x, self.const(self.dtype.type(2))])
        elif op == "Sqrt":
            name = self.node("Sqrt", [self.node("Abs", [x])])
        elif op == "Exp":
            name = self.node("Exp", [self.node("Tanh", [x])])
        elif op == "CastCast":
            t = self.pick([TensorProto.FLOAT, TensorProto.DOUBLE])
            name = self.node("Cast", [self.node("Cast", [x], to=t)], to=helper.np_dtype_to_tensor_dtype(self.dtype))
        elif op == "Not":
            c = self.node("Not", [self.node("Greater", [x, self.const(self.num((), -1, 2))])])
            name = self.node("Cast", [c], to=helper.np_dtype_to_tensor_dtype(self.dtype))
        elif (op == "HardSwish" and self.opset < 14) or (op == "Gelu" and self.opset < 20):
            return
        elif op in ("QuickGelu", "FastGelu", "GeluMs"):
            ins = [x]
            if op == "FastGelu" and isinstance(shape[-1], int) and self.chance(0.7):
                ins.append(self.const(self.num((shape[-1],))))
            name = self.node(op.removesuffix("Ms"), ins, domain="com.microsoft")
        elif op == "Quantize":
            scale = self.pick([np.float32(0.25), np.float32([0.25])])
            zero = self.const(np.zeros(scale.shape, self.pick([np.int8, np.uint8])))
            s = self.const(scale)
            q = self.node("QuantizeLinear", [x, s, zero])
            name = self.node("DequantizeLinear", [q, s, zero])
        else:
            name = self.node(op, [x])
        self.put(name, shape, owner)

    def operand_shape(self, v):
        """A shape that broadcasts to that of a value, sometimes with one axis more."""
        shape = [n if self.chance(0.6) else 1 for n in v.shape]
        if self.chance(0.4):
            shape = shape[int(self.rng.integers(0, len(shape) + 1)) :]
        elif v.rank < 4 and self.chance(0.15):
            shape = [self.pick([1, 2]), *shape]
        return tuple(shape)

    def with_constant(self):
        v = self.recent()
        shape = self.operand_shape(v)
        if any(not isinstance(n, int) for n in shape):
            shape = tuple(n if isinstance(n, int) else 1 for n in shape)
        op = self.pick(
            ["Add", "Mul", "Sub", "Max", "Min", "Where", "PRelu", "Mean", "Sum", "SubFirst", "BiasGelu", "Div", "Mod"]
        )
        c = self.num(shape)
        out = np.broadcast_shapes(concrete(v.shape), shape)
        rank = len(out)
        full = (
            *shape[: rank - v.rank],
            *[a if a != 1 else b for a, b in zip(v.shape, out[rank - v.rank :], strict=False)],
        )
        full = tuple(
            a if isinstance(a, str) else b for a, b in zip(((None,) * (rank - v.rank) + v.shape), out, strict=False)
        )
        name = None
        if op == "Where":
            cond = self.node("Greater", [v.name, self.const(c)])
            name = self.node("Where", [cond, v.name, self.const(self.num(self.pick([(), shape])))])
        elif op == "PRelu":
            if rank > v.rank or out != concrete(v.shape):
                return
            name = self.node("PRelu", [v.name, self.const(c)])
        elif op == "SubFirst":
            name = self.node("Sub", [self.const(c), v.name])
        elif op == "BiasGelu":
            if self.dtype != np.float32 or not isinstance(v.shape[-1], int):
                return
            name, full = (
                self.node("BiasGelu", [v.name, self.const(self.num((v.shape[-1],)))], domain="com.microsoft"),
                v.shape,
            )
        elif op == "Div":
            name = self.node("Div", [v.name, self.const(self.num(shape, 1, 3))])
        elif op == "Mod":
            name = self.node("Mod", [v.name, self.const(self.num(shape, 1, 3))], fmod=1)
        else:
            name = self.node(op, [v.name, self.const(c)])
        self.put(name, full, np.broadcast_to(v.owner, out) if op != "BiasGelu" else v.owner)

    def with_outside(self):
        v = self.recent()
        shape = self.operand_shape(v)
        x = self.input(shape)
        full = (shape[0], *v.shape) if len(shape) > v.rank else v.shape
        if any(a == 1 and b != 1 for a, b in zip(full[len(full) - len(shape) :], shape, strict=False)):
            return
        self.put(
            self.node(self.pick(["Add", "Mul", "Sub", "Max"]), self.pick([[v.name, x], [x, v.name]])), full, v.owner
        )

    def binary(self):
        a = self.recent()
        fits = []
        for b in self.pool[-10:]:
            if b is a or not b.inner:
                continue
            rank = max(a.rank, b.rank)
            x, y = (1,) * (rank - a.rank) + a.shape, (1,) * (rank - b.rank) + b.shape
            if all(m == n or m == 1 or n == 1 for m, n in zip(x, y, strict=False)):
                fits.append((b, tuple(n if m == 1 else m for m, n in zip(x, y, strict=False))))
        if not fits:
            return
        b, shape = self.pick(fits)
        op = self.pick(["Add", "Add", "Mul", "Sub", "Max", "Where", "Sum"])
        owner = combine(a.owner, b.owner)
        if op == "Where":
            cond = self.node(self.pick(["Less", "GreaterOrEqual", "Equal"]), [a.name, b.name])
            name = self.node("Where", [cond, b.name, a.name])
        elif op == "Sum":
            name = self.node("Sum", [a.name, b.name, self.const(self.num(()))])
        else:
            name = self.node(op, [a.name, b.name])
        self.put(name, shape, owner)
