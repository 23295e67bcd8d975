"""Random small graphs of planted block linears and all kinds of operators between them, for tests of regions.

Every value carries, at one concrete shape, which planted block each of its elements comes from, so that later linears
fit the blocks of earlier ones; where blocks are mixed it does not matter what a linear does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto, helper, numpy_helper

FREE, MIXED = -2, -1  # an element of every block, of several
EXTENTS = {"N": 3, "S": 5}  # at which ownership is tracked


@dataclass(eq=False)
class Val:
    name: str
    shape: tuple  # ints and symbols
    owner: np.ndarray  # at EXTENTS
    inner: bool = True  # of the model's floating type

    @property
    def rank(self):
        return len(self.shape)


def concrete(shape, extents=EXTENTS):
    return tuple(extents.get(n, n) for n in shape)


def combine(*owners):
    owners = np.broadcast_arrays(*owners)
    out = owners[0].copy()
    for other in owners[1:]:
        out = np.where(out == other, out, np.where(out == FREE, other, np.where(other == FREE, out, MIXED)))
    return out


def bind(owner, axes, keepdims=True):
    """All along some axes together."""
    axes = tuple(a % owner.ndim for a in axes)
    lead = np.where(owner == FREE, np.iinfo(np.int64).min, owner)
    high = lead.max(axis=axes, keepdims=True)
    low = np.where(owner == FREE, np.iinfo(np.int64).max, owner).min(axis=axes, keepdims=True)
    free = (owner == FREE).all(axis=axes, keepdims=True)
    out = np.where(free, FREE, np.where(high == low, high, MIXED))
    return out if keepdims else out.squeeze(axes)


class Builder:
    def __init__(self, seed, dtype=np.float64, opset=None, blocks=None, rank=None, symbolic=None):
        self.rng = rng = np.random.default_rng(seed)
        self.dtype = np.dtype(dtype)
        self.opset = opset or int(rng.integers(13, 22))
        self.blocks = blocks or int(rng.integers(2, 4))
        self.equal = bool(rng.random() < 0.7)
        self.nodes, self.inits, self.inputs, self.outputs = [], [], [], []
        self.count = 0
        self.pool: list[Val] = []
        self.subgraph_reads = []
        self.focus = self.pick([0.5, 0.7, 0.95])

    # parts

    def fresh(self, stem):
        self.count += 1
        return f"{stem}{self.count}"

    def pick(self, options):
        return options[int(self.rng.integers(len(options)))]

    def chance(self, p):
        return bool(self.rng.random() < p)

    def const(self, array, stem="c"):
        name = self.fresh(stem)
        array = np.asarray(array)
        if self.chance(0.15) and array.size < 50:
            self.nodes.append(
                helper.make_node("Constant", [], [name], name=self.fresh("k"), value=numpy_helper.from_array(array))
            )
        else:
            self.inits.append(numpy_helper.from_array(array, name))
        return name

    def num(self, shape=(), low=-2, high=3):
        return self.rng.integers(low, high, shape).astype(self.dtype)

    def ints(self, values):
        return self.const(np.asarray(values, np.int64), "i")

    def node(self, op, ins, outputs=1, domain="", **attributes):
        outs = [self.fresh("v") for _ in range(outputs)]
        name = "" if self.chance(0.1) else self.fresh(op.lower())
        self.nodes.append(helper.make_node(op, ins, outs, name=name, domain=domain, **attributes))
        return outs[0] if outputs == 1 else outs

    def put(self, name, shape, owner, inner=True):
        owner = np.broadcast_to(owner, concrete(shape)).copy()
        value = Val(name, tuple(shape), owner, inner)
        self.pool.append(value)
        return value

    def input(self, shape, elem=None):
        name = self.fresh("x")
        kind = elem or helper.np_dtype_to_tensor_dtype(self.dtype)
        self.inputs.append((name, shape, kind))
        return name

    def recent(self, condition=lambda v: True):
        fits = [v for v in self.pool[-8:] if condition(v) and v.inner]
        if not fits:
            return None
        return fits[-1] if self.chance(self.focus) else self.pick(fits)

    # linears

    def linear(self, value, size=None):
        """A linear whose blocks follow those of what it reads where these lie on its last axis alone."""
        rng, B = self.rng, self.blocks
        K = value.shape[-1]
        if not isinstance(K, int) or value.rank < 2:
            return None
        flat = value.owner.reshape(-1, K)
        own = np.where((flat == flat[:1]).all(0), flat[0], MIXED)
        # what is free or mixed belongs to nobody in particular
        inputs = np.where(own >= 0, own, rng.integers(0, B, K))
        equal = self.equal
        each = int(rng.integers(1, 4)) * (2 if self.chance(0.5) else 1)
        N = size or (each * B if equal else int(rng.integers(B, 4 * B)))
        if N < B:
            return None
        outputs = np.arange(N) % B if not self.chance(0.3) else np.sort(np.arange(N) % B)
        if self.chance(0.6):
            rng.shuffle(outputs)
        W = self.num((K, N), 1, 3) * rng.choice([-1, 1], (K, N)).astype(self.dtype)
        W[inputs[:, None] != outputs[None, :]] = 0
        if self.chance(0.15) and K > 2:
            W[rng.integers(K)] = 0
        if self.chance(0.15) and N > 2:
            W[:, rng.integers(N)] = 0
        if self.chance(0.08):  # partially overlapping partitions
            W[rng.integers(K), rng.integers(N)] = 1
        if self.chance(0.12):  # a selection
            W = np.zeros((K, N), self.dtype)
            candidates = [np.flatnonzero(inputs == b) for b in outputs]
            if all(c.size for c in candidates):
                W[[self.pick(c) for c in candidates], np.arange(N)] = 1
            elif K:
                W[rng.integers(0, K, N), np.arange(N)] = 1
        shape = (*value.shape[:-1], N)
        owner = np.where((flat == MIXED).any(), MIXED, outputs) if False else outputs
        kind = self.pick(
            [
                "MatMul",
                "MatMul",
                "Add",
                "Add",
                "Gemm",
                "GemmT",
                "GemmC",
                "AddFirst",
                "Fused",
                "FusedT",
                "Einsum",
                "EinsumLeft",
            ]
        )
        bias = self.num((N,))
        if self.chance(0.3):
            bias = bias.reshape((1,) * (value.rank - 1) + (N,))
        if value.rank != 2 and kind.startswith("Gemm"):
            kind = "Add"
        if self.dtype != np.float32 and kind.startswith("Fused"):
            kind = "MatMul"

        def w(array):
            return self.const(array, "w")

        x = value.name
        if kind in ("MatMul", "Add", "AddFirst"):
            name = self.node("MatMul", [x, w(W)])
            if kind != "MatMul":
                pair = [name, self.const(bias, "b")]
                name = self.node("Add", pair if kind == "Add" else pair[::-1])
        elif kind == "Gemm":
            name = self.node("Gemm", [x, w(W)])
        elif kind == "GemmT":
            name = self.node("Gemm", [x, w(W.T.copy()), self.const(self.num((N,)), "b")], transB=1)
        elif kind == "GemmC":
            attributes = {"alpha": 2.0} if self.chance(0.5) else {}
            attributes |= {"beta": self.pick([0.5, 0.0, 3.0])} if self.chance(0.5) else {}
            c = self.pick([self.num((N,)), self.num((1, N)), self.num((1,)), self.num(())])
            name = self.node("Gemm", [x, w(W), self.const(c, "b")], **attributes)
        elif kind in ("Fused", "FusedT"):
            attributes = {"alpha": 0.5} if self.chance(0.6) else {}
            if kind == "FusedT":
                attributes["transB"] = 1
            name = self.node(
                "FusedMatMul", [x, w(W.T.copy() if kind == "FusedT" else W)], domain="com.microsoft", **attributes
            )
            if self.chance(0.5):
                name = self.node("Add", [name, self.const(bias, "b")])
        else:
            letters = "abcd"[: value.rank - 1]
            turned = self.chance(0.5)
            w_letters, array = ("nk", W.T.copy()) if turned else ("kn", W)
            if kind == "Einsum":
                name = self.node("Einsum", [x, w(array)], equation=f"{letters}k,{w_letters}->{letters}n")
            else:
                name = self.node("Einsum", [w(array), x], equation=f"{w_letters},{letters}k->{letters}n")
        return self.put(name, shape, owner)

    # operators in between: each takes a random recent value and puts what comes of it

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

    def transpose(self):
        v = self.recent()
        perm = [int(p) for p in self.rng.permutation(v.rank)]
        if self.chance(0.1):
            perm = list(range(v.rank))[::-1]
            name = self.node("Transpose", [v.name])
        else:
            name = self.node("Transpose", [v.name], perm=perm)
        self.put(name, tuple(v.shape[p] for p in perm), v.owner.transpose(perm))

    def reshape(self):
        v = self.recent()
        shape = list(v.shape)
        for _ in range(int(self.rng.integers(1, 3))):
            kind = self.pick(["split", "merge", "one", "none", "swap", "drop"])
            places = [i for i, n in enumerate(shape) if isinstance(n, int) and n > 1]
            if kind == "split" and places and len(shape) < 4:
                i = self.pick(places)
                factors = [f for f in range(2, shape[i]) if shape[i] % f == 0]
                if factors:
                    f = self.pick(factors)
                    shape[i : i + 1] = [f, shape[i] // f]
            elif kind == "merge" and len(shape) > 2:
                pairs = [
                    i for i in range(len(shape) - 1) if isinstance(shape[i], int) and isinstance(shape[i + 1], int)
                ]
                if pairs:
                    i = self.pick(pairs)
                    shape[i : i + 2] = [shape[i] * shape[i + 1]]
            elif kind == "one" and len(shape) < 4:
                shape.insert(int(self.rng.integers(len(shape) + 1)), 1)
            elif kind == "drop" and 1 in shape and len(shape) > 2:
                shape.remove(1)
            elif kind == "swap":
                pairs = [
                    i for i in range(len(shape) - 1) if isinstance(shape[i], int) and isinstance(shape[i + 1], int)
                ]
                if pairs:
                    i = self.pick(pairs)
                    shape[i], shape[i + 1] = shape[i + 1], shape[i]
        out = tuple(shape)
        owner = v.owner.reshape(concrete(out))
        symbols = [n for n in out if isinstance(n, str)]
        way = self.pick(["static", "static", "dynamic"])
        attributes = {}
        if way == "static":
            told = [n if isinstance(n, int) else None for n in out]
            if self.chance(0.2) and self.opset >= 14 and not symbols:
                attributes["allowzero"] = 1
            else:
                for i, n in enumerate(out):
                    if i < v.rank and v.shape[i] == n and (told[i] is None or self.chance(0.4)):
                        told[i] = 0
                if told.count(None) > 1:
                    return
                if None in told:
                    told[told.index(None)] = -1
                elif self.chance(0.5):
                    told[self.pick(range(len(told)))] = -1
            if None in told:
                return
            target = self.ints(told)
        else:
            s = self.node("Shape", [v.name])
            parts, used = [], False
            for i, n in enumerate(out):
                if isinstance(n, str) or (n in v.shape and self.chance(0.3)):
                    at = v.shape.index(n)
                    if self.chance(0.5):
                        parts.append(self.node("Slice", [s, self.ints([at]), self.ints([at + 1])]))
                    else:
                        one = self.node("Gather", [s, self.const(np.int64(at))])
                        parts.append(self.node("Unsqueeze", [one, self.ints([0])]))
                elif not used and self.chance(0.3):
                    used = True
                    parts.append(self.ints([-1]))
                elif self.chance(0.2) and i < v.rank and v.shape[i] == n:
                    parts.append(self.ints([0]))
                else:
                    parts.append(self.ints([n]))
            target = self.node("Concat", parts, axis=0)
        self.put(self.node("Reshape", [v.name, target], **attributes), out, owner)

    def squeeze(self):
        v = self.recent()
        ones = [i for i, n in enumerate(v.shape) if n == 1]
        kind = self.pick(["squeeze", "unsqueeze", "flatten", "unsqueeze"])
        if kind == "squeeze" and ones and v.rank > 2:
            axes = [self.pick(ones)]
            given = [a - v.rank if self.chance(0.5) else a for a in axes]
            ins = [v.name, self.ints(given)]
            if self.chance(0.1) and len(ones) == 1:
                ins = [v.name]
            self.put(
                self.node("Squeeze", ins),
                tuple(n for i, n in enumerate(v.shape) if i not in axes),
                v.owner.squeeze(tuple(axes)),
            )
        elif kind == "unsqueeze" and v.rank < 4:
            axis = int(self.rng.integers(v.rank + 1))
            given = axis - v.rank - 1 if self.chance(0.5) else axis
            self.put(
                self.node("Unsqueeze", [v.name, self.ints([given])]),
                (*v.shape[:axis], 1, *v.shape[axis:]),
                np.expand_dims(v.owner, axis),
            )
        elif kind == "flatten":
            for axis in self.rng.permutation(v.rank + 1):
                a, b = v.shape[:axis], v.shape[axis:]
                if sum(isinstance(n, str) for n in a) <= (len(a) == 1) and sum(isinstance(n, str) for n in b) <= (
                    len(b) == 1
                ):

                    def side(part):
                        return part[0] if len(part) == 1 else int(np.prod(part or (1,)))

                    shape = (side(a), side(b))
                    given = int(axis) - v.rank if self.chance(0.3) and axis < v.rank else int(axis)
                    self.put(self.node("Flatten", [v.name], axis=given), shape, v.owner.reshape(concrete(shape)))
                    return

    def split(self):
        v = self.recent()
        places = [i for i, n in enumerate(v.shape) if isinstance(n, int) and n >= 2]
        if not places:
            return
        axis = self.pick(places)
        n = v.shape[axis]
        parts = self.pick([p for p in (2, 3) if p <= n])
        given = axis - v.rank if self.chance(0.4) else axis
        if n % parts == 0 and self.chance(0.6):
            sizes = [n // parts] * parts
            attributes = {"num_outputs": parts} if self.opset >= 18 else {}
            outs = self.node("Split", [v.name], parts, axis=given, **attributes)
        elif self.opset >= 18 and self.chance(0.4) and n - (parts - 1) * -(-n // parts) > 0:
            each = -(-n // parts)
            sizes = [each] * (parts - 1) + [n - each * (parts - 1)]
            outs = self.node("Split", [v.name], parts, axis=given, num_outputs=parts)
        else:
            cuts = np.sort(self.rng.choice(np.arange(1, n), parts - 1, replace=False))
            sizes = [int(s) for s in np.diff([0, *cuts, n])]
            outs = self.node("Split", [v.name, self.ints(sizes)], parts, axis=given)
        start = 0
        for name, size in zip(outs, sizes, strict=False):
            shape = list(v.shape)
            shape[axis] = size
            self.put(name, tuple(shape), np.take(v.owner, range(start, start + size), axis))
            start += size

    def concat(self):
        a = self.recent()
        axis = int(self.rng.integers(a.rank))
        if isinstance(a.shape[axis], str):
            return
        fits = [
            b
            for b in self.pool[-10:]
            if b.inner
            and b.rank == a.rank
            and isinstance(b.shape[axis], int)
            and all(m == n for i, (m, n) in enumerate(zip(a.shape, b.shape, strict=False)) if i != axis)
        ]
        operands = [a] + [self.pick(fits) for _ in range(int(self.rng.integers(1, 3)))] if fits else [a]
        names, owners, extents = (
            [o.name for o in operands],
            [o.owner for o in operands],
            [o.shape[axis] for o in operands],
        )
        if self.chance(0.3):
            extra = list(a.shape)
            extra[axis] = self.pick([1, 2])
            if all(isinstance(n, int) for n in extra) and self.chance(0.5):
                names.append(self.const(self.num(extra)))
            else:
                names.append(self.input(tuple(extra)))
            owners.append(np.full(concrete(extra), FREE))
            extents.append(extra[axis])
        order = self.rng.permutation(len(names))
        names, owners = [names[i] for i in order], [owners[i] for i in order]
        shape = list(a.shape)
        shape[axis] = sum(extents)
        given = axis - a.rank if self.chance(0.4) else axis
        self.put(self.node("Concat", names, axis=given), tuple(shape), np.concatenate(owners, axis))

    def slice(self):
        v = self.recent()
        places = [i for i, n in enumerate(v.shape) if isinstance(n, int) and n >= 2]
        if not places:
            return
        axes = [int(a) for a in self.rng.permutation(places)[: int(self.rng.integers(1, 3))]]
        starts, ends, steps = [], [], []
        window = [slice(None)] * v.rank
        for axis in axes:
            n = v.shape[axis]
            if self.chance(0.15):
                start, end, step = -1, -(1 << 40), -1
                window[axis] = slice(None, None, -1)
            else:
                start = int(self.rng.integers(0, n))
                end = int(self.rng.integers(start + 1, n + 1))
                step = self.pick([1, 1, 2])
                window[axis] = slice(start, end, step)
                if self.chance(0.3):
                    start -= n
                if end == n:
                    end = self.pick([n, n + 7, (1 << 63) - 1])
                elif self.chance(0.3):
                    end -= n
            starts, ends, steps = [*starts, start], [*ends, end], [*steps, step]
        owner = v.owner[tuple(window)]
        given = [a - v.rank if self.chance(0.4) else a for a in axes]
        ins = [v.name, self.ints(starts), self.ints(ends), self.ints(given)]
        if steps != [1] * len(steps) or self.chance(0.4):
            ins.append(self.ints(steps))
        elif axes == list(range(len(axes))) and self.chance(0.5):
            ins = ins[:3]
        shape = tuple(n if isinstance(n, str) else m for n, m in zip(v.shape, owner.shape, strict=False))
        self.put(self.node("Slice", ins), shape, owner)

    def gather(self):
        v = self.recent()
        places = [i for i, n in enumerate(v.shape) if isinstance(n, int)]
        if not places:
            return
        axis = self.pick(places)
        n = v.shape[axis]
        kind = self.pick(["permute", "permute", "some", "repeat", "scalar", "negative", "outside"])
        if kind == "permute":
            index = self.rng.permutation(n)
        elif kind == "scalar":
            if v.rank < 3:
                return
            index = np.int64(self.rng.integers(-n, n))
        elif kind == "negative":
            index = self.rng.integers(-n, 0, int(self.rng.integers(1, n + 1)))
        elif kind == "repeat":
            index = self.rng.integers(0, n, int(self.rng.integers(1, n + 3)))
        elif kind == "some":
            index = self.rng.permutation(n)[: int(self.rng.integers(1, n + 1))]
        else:
            if n < 2:
                return
            index = self.rng.integers(0, 2, 2)
        name = (
            self.input((2,), TensorProto.INT64) if kind == "outside" else self.const(np.asarray(index, np.int64), "i")
        )
        given = axis - v.rank if self.chance(0.4) else axis
        owner = np.take(v.owner, index, axis)
        if kind == "outside":
            owner = bind(v.owner, [axis]) + np.zeros((2,) + (1,) * (v.rank - 1 - axis), np.int64)
        shape = (*v.shape[:axis], *np.shape(index), *v.shape[axis + 1 :])
        self.put(self.node("Gather", [v.name, name], axis=given), shape, owner)

    def reduce(self):
        v = self.recent(lambda v: v.rank > 1)
        if v is None:
            return
        op = self.pick(["ReduceMean", "ReduceSum", "ReduceMax", "ReduceSumSquare", "ReduceL2"])
        axes = [int(a) for a in self.rng.permutation(v.rank)[: int(self.rng.integers(1, 3))]]
        if any(isinstance(v.shape[a], str) for a in axes) and self.chance(0.7):
            return
        keep = int(self.chance(0.6))
        if not keep and v.rank - len(axes) < 1:
            keep = 1
        given = [a - v.rank if self.chance(0.4) else a for a in axes]
        operand = op == "ReduceSum" or self.opset >= 18
        attributes = {} if keep and self.chance(0.5) else {"keepdims": keep}
        name = (
            self.node(op, [v.name, self.ints(given)], **attributes)
            if operand
            else self.node(op, [v.name], axes=given, **attributes)
        )
        owner = bind(v.owner, axes, bool(keep))
        shape = tuple(1 if i in axes else n for i, n in enumerate(v.shape) if keep or i not in axes)
        if "keepdims" in attributes or keep:
            self.put(name, shape, owner)

    def softmax(self):
        v = self.recent()
        axis = int(self.rng.integers(v.rank))
        if isinstance(v.shape[axis], str) and self.chance(0.7):
            axis = v.rank - 1
        given = axis - v.rank if self.chance(0.4) else axis
        op = self.pick(["Softmax", "LogSoftmax", "Softmax"])
        name = (
            self.node(op, [v.name], axis=given) if self.chance(0.8) or axis != v.rank - 1 else self.node(op, [v.name])
        )
        self.put(name, v.shape, np.broadcast_to(bind(v.owner, [axis]), v.owner.shape))

    def norm(self):
        v = self.recent()
        if self.opset < 17:
            return
        axis = self.pick([v.rank - 1, v.rank - 1, int(self.rng.integers(v.rank))])
        tail = v.shape[axis:]
        if any(isinstance(n, str) for n in tail):
            return
        ins = [v.name, self.const(self.num(tail)), *([self.const(self.num(tail))] if self.chance(0.5) else [])]
        given = axis - v.rank if self.chance(0.4) else axis
        name = self.node("LayerNormalization", ins, axis=given, epsilon=0.1)
        self.put(name, v.shape, np.broadcast_to(bind(v.owner, range(axis, v.rank)), v.owner.shape))

    def rms(self):
        v = self.recent()
        axis = v.rank - 1
        square = (
            self.node("Pow", [v.name, self.const(self.dtype.type(2))])
            if self.chance(0.5)
            else self.node("Mul", [v.name, v.name])
        )
        mean = (
            self.node("ReduceMean", [square, self.ints([-1])])
            if self.opset >= 18
            else self.node("ReduceMean", [square], axes=[-1])
        )
        root = self.node("Sqrt", [self.node("Add", [mean, self.const(self.dtype.type(1))])])
        name = self.node("Div", [v.name, root])
        self.put(name, v.shape, np.broadcast_to(bind(v.owner, [axis]), v.owner.shape))

    def product(self):
        a = self.recent(lambda v: v.rank >= 2)
        if a is None:
            return
        fits = []
        for b in self.pool[-10:]:
            if b.rank < 2 or not b.inner:
                continue
            for turned in (False, True):
                s = (*b.shape[:-2], b.shape[-1], b.shape[-2]) if turned else b.shape
                rank = max(a.rank, b.rank)
                x, y = (1,) * (rank - a.rank) + a.shape, (1,) * (rank - b.rank) + s
                if a.shape[-1] == s[-2] and all(
                    m == n or m == 1 or n == 1 for m, n in zip(x[:-2], y[:-2], strict=False)
                ):
                    lead = tuple(n if m == 1 else m for m, n in zip(x[:-2], y[:-2], strict=False))
                    fits.append((b, turned, (*lead, a.shape[-2], s[-1])))
        if not fits or self.chance(0.15):
            side = (*a.shape[:-2], a.shape[-1], self.pick([2, 3])) if self.chance(0.7) else (a.shape[-1], 2)
            side = tuple(1 if self.chance(0.2) and i < len(side) - 2 else n for i, n in enumerate(side))
            left = self.chance(0.3)
            owner = bind(a.owner, [-2 if left else -1])
            if left:
                side = (*side[:-2], side[-1], a.shape[-2])
                name, shape = self.node("MatMul", [self.input(side), a.name]), (*a.shape[:-2], side[-2], a.shape[-1])
            else:
                name, shape = self.node("MatMul", [a.name, self.input(side)]), (*a.shape[:-1], side[-1])
            self.put(name, shape, owner)
            return
        b, turned, shape = self.pick(fits)
        owner, other = bind(a.owner, [-1]), b.owner
        name = b.name
        if turned:
            perm = [*range(b.rank - 2), b.rank - 1, b.rank - 2]
            name, other = self.node("Transpose", [name], perm=perm), other.swapaxes(-1, -2)
        made = self.node("MatMul", [a.name, name])
        self.put(made, shape, combine(owner, bind(other, [-2])))

    def attention(self):
        """Heads of the last axis: queries, keys and values from three values of one shape, or one."""
        v = self.recent(
            lambda v: (
                v.rank == 3
                and isinstance(v.shape[-1], int)
                and v.shape[-1] % 2 == 0
                and isinstance(v.shape[1], (int, str))
            )
        )
        if v is None:
            return
        same = [u for u in self.pool[-8:] if u.shape == v.shape and u.inner]
        q, k, w = v, self.pick(same), self.pick(same)
        n = v.shape[-1]
        h = self.pick([f for f in range(2, n + 1) if n % f == 0])
        d = n // h
        heads = []
        zero = self.pick(["zero", "shape"])
        for u in (q, k, w):
            target = self.ints([0, 0, h, d])
            if zero == "shape":
                s = self.node("Shape", [u.name])
                target = self.node(
                    "Concat", [self.node("Slice", [s, self.ints([0]), self.ints([2])]), self.ints([h, -1])], axis=0
                )
            r = self.node("Reshape", [u.name, target])
            heads.append(r)
        ql = self.node("Transpose", [heads[0]], perm=[0, 2, 1, 3])
        kl = self.node("Transpose", [heads[1]], perm=[0, 2, 3, 1])
        vl = self.node("Transpose", [heads[2]], perm=[0, 2, 1, 3])
        scores = self.node("Mul", [self.node("MatMul", [ql, kl]), self.const(self.dtype.type(0.5))])
        if self.chance(0.5):
            scores = self.node(
                "Add",
                [
                    scores,
                    self.input(
                        self.pick(
                            [
                                (v.shape[0], 1, 1, v.shape[1]),
                                (v.shape[1], v.shape[1]),
                                (v.shape[0], h, v.shape[1], v.shape[1]),
                            ]
                        )
                    ),
                ],
            )
        mixed = self.node("MatMul", [self.node("Softmax", [scores], axis=-1), vl])
        back = self.node("Transpose", [mixed], perm=[0, 2, 1, 3])
        out = self.node("Reshape", [back, self.ints([0, 0, self.pick([n, -1])])])
        owner = combine(*(bind(u.owner.reshape(*u.owner.shape[:2], h, d), [3, 1]) for u in (q, k)))
        last = bind(w.owner.reshape(*w.owner.shape[:2], h, d), [1])
        owner = combine(owner, last)
        self.put(out, v.shape, np.broadcast_to(owner, (*v.owner.shape[:2], h, d)).reshape(v.owner.shape))

    def rotate(self):
        v = self.recent(lambda v: isinstance(v.shape[-1], int) and v.shape[-1] % 2 == 0)
        if v is None:
            return
        n = v.shape[-1]
        if self.chance(0.5):
            a = self.node("Slice", [v.name, self.ints([0]), self.ints([n // 2]), self.ints([-1])])
            b = self.node("Slice", [v.name, self.ints([n // 2]), self.ints([(1 << 63) - 1]), self.ints([v.rank - 1])])
        else:
            extra = {"num_outputs": 2} if self.opset >= 18 else {}
            a, b = self.node("Split", [v.name], 2, axis=-1, **extra)
        turned = self.node("Concat", [self.node("Neg", [b]), a], axis=-1)
        sin, cos = (self.const(self.num((n,))) for _ in range(2))
        name = self.node("Add", [self.node("Mul", [v.name, cos]), self.node("Mul", [turned, sin])])
        self.put(name, v.shape, combine(v.owner, np.roll(v.owner, n // 2, -1)))

    def expand(self):
        v = self.recent()
        shape = [n if n != 1 or self.chance(0.4) else self.pick([2, 3]) for n in v.shape]
        lead = [self.pick([1, 2])] if v.rank < 4 and self.chance(0.2) else []
        out = (*lead, *shape)
        if all(isinstance(n, int) for n in out) or self.chance(0.5):
            told = [
                1 if isinstance(n, str) or (n == m and self.chance(0.5)) else n
                for n, m in zip(shape, v.shape, strict=False)
            ]
            target = self.ints([*lead, *told])
        else:
            s = self.node("Shape", [v.name])
            parts = [self.ints([n]) for n in lead]
            for i, n in enumerate(shape):
                parts.append(
                    self.node("Slice", [s, self.ints([i]), self.ints([i + 1])])
                    if isinstance(n, str)
                    else self.ints([n])
                )
            target = self.node("Concat", parts, axis=0)
        self.put(self.node("Expand", [v.name, target]), out, v.owner)

    def branch(self):
        v = self.recent()
        elem = helper.np_dtype_to_tensor_dtype(self.dtype)
        cond = self.input((), TensorProto.BOOL)

        def body(op):
            out = self.fresh("s")
            info = helper.make_tensor_value_info(out, elem, None)
            return helper.make_graph(
                [helper.make_node(op, [v.name], [out], name=self.fresh("sub"))], self.fresh("g"), [], [info]
            )

        name = self.fresh("v")
        self.nodes.append(
            helper.make_node(
                "If", [cond], [name], name=self.fresh("if"), then_branch=body("Identity"), else_branch=body("Neg")
            )
        )
        if self.chance(0.5):
            self.outputs.append((name, v.shape, elem))
        else:
            self.put(name, v.shape, np.full(v.owner.shape, MIXED))

    def expose(self):
        v = self.recent()
        if self.chance(0.3):
            self.outputs.append((self.node("Shape", [v.name]), (v.rank,), TensorProto.INT64))
        elif all(v.name != o[0] for o in self.outputs):
            self.outputs.append((v.name, v.shape, helper.np_dtype_to_tensor_dtype(self.dtype)))

    def unknown(self):
        """An operator that no rule understands."""
        v = self.recent()
        kind = self.pick(["CumSum", "Identity", "Pad"])
        if kind == "CumSum":
            axis = self.ints([-1]) if False else self.const(np.int64(v.rank - 1))
            self.put(self.node("CumSum", [v.name, axis]), v.shape, np.full(v.owner.shape, MIXED))
        elif kind == "Pad" and isinstance(v.shape[-1], int):
            pads = [0] * (2 * v.rank)
            pads[-1] = 1
            shape = (*v.shape[:-1], v.shape[-1] + 1)
            self.put(self.node("Pad", [v.name, self.ints(pads)]), shape, np.full(concrete(shape), MIXED))

    STEPS = (
        ("linear", 5),
        ("unary", 4),
        ("with_constant", 3),
        ("with_outside", 1.5),
        ("binary", 3),
        ("transpose", 1.5),
        ("reshape", 2),
        ("squeeze", 1),
        ("split", 1),
        ("concat", 1),
        ("slice", 1),
        ("gather", 1),
        ("reduce", 0.7),
        ("softmax", 0.6),
        ("norm", 0.7),
        ("rms", 0.4),
        ("product", 0.7),
        ("attention", 1),
        ("rotate", 0.6),
        ("expand", 0.4),
        ("branch", 0.25),
        ("expose", 0.6),
        ("unknown", 0.15),
    )

    def build(self, steps=12):
        rng = self.rng
        rank = self.pick([2, 2, 3, 3, 3, 4])
        lead = {2: ["N"], 3: ["N", "S"], 4: ["N", self.pick([2, "S"]), self.pick([2, 3])]}[rank]
        lead = [self.pick([n, n, n, 1, 4]) if isinstance(n, str) else n for n in lead]
        if lead.count("N") + lead.count("S") == 2 and self.chance(0.2):
            lead[1] = "N"
        K = int(rng.integers(1, 4)) * self.blocks
        x = self.input((*lead, K))
        own = np.arange(K) % self.blocks
        if self.chance(0.7):
            rng.shuffle(own)
        source = Val(x, (*lead, K), np.broadcast_to(own, concrete((*lead, K))))
        for _ in range(int(rng.integers(1, 4))):
            self.linear(source)
        names, weights = zip(*self.STEPS, strict=False)
        p = np.array(weights) / sum(weights)
        for _ in range(steps):
            step = names[int(rng.choice(len(names), p=p))]
            if step == "linear":
                v = self.recent(lambda v: v.rank >= 2 and isinstance(v.shape[-1], int) and v.shape[-1] >= 2)
                if v is not None:
                    self.linear(v)
            else:
                getattr(self, step)()
        v = self.recent(lambda v: v.rank >= 2 and isinstance(v.shape[-1], int) and v.shape[-1] >= 2)
        if v is not None:
            self.linear(v)
        read = {name for node in self.nodes for name in node.input} | {o[0] for o in self.outputs}
        elem = helper.np_dtype_to_tensor_dtype(self.dtype)
        for value in self.pool:
            if value.name not in read and value.inner:
                self.outputs.append((value.name, value.shape, elem))
        return self.model()

    def model(self):
        inputs = [helper.make_tensor_value_info(n, e, s) for n, s, e in self.inputs]
        seen = {}
        for n, s, e in self.outputs:
            seen.setdefault(n, helper.make_tensor_value_info(n, e, s))
        graph = helper.make_graph(self.nodes, "g", inputs, list(seen.values()), self.inits)
        imports = [helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=imports, ir_version=8 if self.opset < 19 else 10)

    def survives_empty(self):
        """Whether ONNX Runtime (1.31) computes the model without any rows: it merges a Transpose into a product that
        divides by zero, and takes negative axes of an empty tensor for others."""
        turned = {node.output[0] for node in self.nodes if node.op_type == "Transpose"}
        return not any(
            node.op_type.startswith("Reduce") or ("MatMul" in node.op_type and turned & set(node.input))
            for node in self.nodes
        )

    def feeds(self, seed, N, S):
        rng = np.random.default_rng(seed)
        found = {}
        for name, shape, elem in self.inputs:
            size = concrete(shape, {"N": N, "S": S})
            if elem == TensorProto.BOOL:
                found[name] = np.array(rng.random() < 0.5)
            elif elem == TensorProto.INT64:
                found[name] = rng.integers(0, 2, size)
            else:
                found[name] = rng.integers(-3, 4, size).astype(self.dtype)
        return found
