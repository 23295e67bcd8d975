"""Models with shared axes for tests, and what their linears split into."""

import numpy as np
from reference import model, node

from scission.ir.axes.shared_axis import find_shared_axes
from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.passes.planning.analysis import analyse
from scission.passes.planning.axis_orders import choose_orders


def looked_at(proto):
    """(the graph as loaded, its view, decompositions by address)."""
    graph = getattr(load(proto), "graph", None)
    seen = view(graph)
    return graph, seen, decompositions(seen)


def decompositions(seen):
    constants = seen.found.constants
    return {one.address: analyse(one.canonical(constants)).decomposition for one in seen.found.linears}


def chosen(seen, blocks=None):
    return choose_orders(find_shared_axes(seen.found, seen.model), blocks or decompositions(seen))


def blocked(rng, rows, columns):
    """A double weight whose blocks join rows[i] with columns[i]; no entry inside is zero."""
    W = np.zeros((sum(map(len, rows)), sum(map(len, columns))))
    for K, N in zip(rows, columns, strict=True):
        W[np.ix_(K, N)] = rng.uniform(0.5, 1, (len(K), len(N))) * rng.choice([-1, 1], (len(K), len(N)))
    return W


def groups(rng, size, count, shuffled=True):
    order = rng.permutation(size) if shuffled else np.arange(size)
    return [np.sort(part) for part in np.array_split(order, count)]


def ffn(rng, d=6, H=12, count=3, *, shuffled_inside=True, shuffled_outside=False):
    """x (b, d) -> H hidden units -> y (b, d), in blocks, with a bias and an activation."""
    outside, inside = groups(rng, d, count, shuffled_outside), groups(rng, H, count, shuffled_inside)
    weights = {"U": blocked(rng, outside, inside), "c": rng.standard_normal(H), "V": blocked(rng, inside, outside)}
    nodes = [
        node("MatMul", "x U", "h", "up"),
        node("Add", "h c", "k"),
        node("Relu", "k", "z"),
        node("MatMul", "z V", "y", "down"),
    ]
    return model(nodes, {"x": (["b", d], np.float64)}, {"y": (["b", d], np.float64)}, weights, opset=20)


def encoder(rng, layers=2, d=8, H=24, count=4, classes=3, gated=False):
    """Tokens to logits in double: norms after sums, attention of one head, shuffled blocks but at the end."""
    states = groups(rng, d, count)
    weights = {"table": rng.standard_normal((11, d)), "head": rng.standard_normal((d, classes))}
    nodes = [node("Gather", "table ids", "x0", "embed")]
    for i in range(layers):
        wide = groups(rng, H, count)
        for part in "qkvo":
            weights[f"{part}{i}"] = blocked(rng, states, states)
        weights |= {f"U{i}": blocked(rng, states, wide), f"V{i}": blocked(rng, wide, states)}
        weights |= {f"G{i}": blocked(rng, states, wide)} if gated else {}
        weights |= {f"c{i}": rng.standard_normal(H), f"s{i}": rng.uniform(0.5, 1, d), f"t{i}": rng.standard_normal(d)}
        nodes += [node("MatMul", f"x{i} {part}{i}", f"{part}.{i}", f"{part}{i}/MatMul") for part in "qkv"]
        nodes += [
            node("Einsum", f"q.{i} k.{i}", f"scores.{i}", equation="bsd,btd->bst"),
            node("Softmax", f"scores.{i}", f"weights.{i}"),
            node("MatMul", f"weights.{i} v.{i}", f"mixed.{i}"),
            node("MatMul", f"mixed.{i} o{i}", f"o.{i}", f"o{i}/MatMul"),
            node("Add", f"x{i} o.{i}", f"r.{i}"),
            node("LayerNormalization", f"r.{i} s{i} t{i}", f"n.{i}"),
            node("MatMul", f"n.{i} U{i}", f"u.{i}", f"up{i}"),
            node("Add", f"u.{i} c{i}", f"a.{i}"),
            node("Tanh", f"a.{i}", f"act.{i}"),
            *([node("MatMul", f"n.{i} G{i}", f"g.{i}", f"gate{i}")] if gated else []),
            node("Mul", f"act.{i} {'g' if gated else 'act'}.{i}", f"h.{i}"),
            node("MatMul", f"h.{i} V{i}", f"d.{i}", f"down{i}"),
            node("Add", f"d.{i} n.{i}", f"x{i + 1}"),
        ]
    nodes.append(node("MatMul", f"x{layers} head", "logits", "head"))
    inputs, outputs = {"ids": (["b", "s"], np.int64)}, {"logits": (["b", "s", classes], np.float64)}
    return model(nodes, inputs, outputs, weights, opset=20)
