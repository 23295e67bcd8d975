"""Parts of random graphs: names, constants, nodes, the values so far, and linears with planted blocks."""

from __future__ import annotations

import numpy as np
from onnx import helper, numpy_helper
from region_ownership import MIXED, Val, concrete


class Linears:
    """What a random graph is put together with."""

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
