"""Operators of random regions whose results depend on several features."""

from __future__ import annotations

import numpy as np
from region_linears import Linears
from region_ownership import bind, combine


class Mixing(Linears):
    """Each takes a random recent value and puts what comes of it."""

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
