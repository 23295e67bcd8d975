"""Operators of random regions that move elements."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto
from region_linears import Linears
from region_ownership import FREE, bind, combine, concrete


class Moving(Linears):
    """Each takes a random recent value and puts what comes of it."""

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
