"""Feed-forward networks of which each sample uses a few hidden units: experts that are known."""

import numpy as np
import oracles

from scission.passes.decompose.fingerprint import fingerprint
from scission.passes.experts.expert_split import ExpertSplit

D, GROUP, EXPERTS, ALWAYS = 12, 4, 6, 3
WIDE = {"group": 60, "experts": 8, "always": 120}  # of which experts are large enough to be proposed


def planted(seed=0, d=D, group=GROUP, experts=EXPERTS, always=ALWAYS):
    """(U, a, V, expert of each unit or -1): units of one expert follow one feature, those of none are always active
    and add the most."""
    rng = np.random.default_rng(seed)
    owner = rng.permutation(np.repeat(np.arange(-1, experts), [always, *[group] * experts]))
    H = owner.size
    up = np.zeros((d, H), np.float32)
    up[owner, np.arange(H)] = np.where(owner < 0, 0, rng.uniform(1, 2, H))
    bias = np.where(owner < 0, 1, -0.5).astype(np.float32)
    down = np.where(owner < 0, 3, 1)[:, None] * rng.standard_normal((H, d))
    return up, bias, down.astype(np.float32), owner


def samples(rows, seed=0, experts=EXPERTS):
    """Rows (rows, D) in which one of the features that experts follow is large."""
    rng = np.random.default_rng(seed)
    x = np.zeros((rows, D), np.float32)
    x[np.arange(rows), rng.integers(experts, size=rows)] = rng.uniform(1, 3, rows)
    x[:, experts:] = rng.standard_normal((rows, D - experts))
    return x


def network(up, bias, down, *, between="Relu", gemm=False, lead=("n",), **versions):
    """The model y = between(x U + a) V + b, of the type that U has; lead: extents of x before its features, None where
    not even the rank is known."""
    shapes = [None if lead is None else [*lead, size] for size in (len(up), down.shape[1])]
    nodes = (
        [("Gemm", ["x", "U", "a"], ["h"]), (between, ["h"], ["z"]), ("Gemm", ["z", "V", "b"], ["y"])]
        if gemm
        else [
            ("MatMul", ["x", "U"], ["p"]),
            ("Add", ["p", "a"], ["h"]),
            (between, ["h"], ["z"]),
            ("MatMul", ["z", "V"], ["q"]),
            ("Add", ["q", "b"], ["y"]),
        ]
    )
    constants = {"U": up, "a": bias, "V": down, "b": np.arange(down.shape[1], dtype=up.dtype)}
    return oracles.graph(nodes, {"x": shapes[0]}, {"y": shapes[1]}, constants, **versions)


def reference(x, up, bias, down, split: ExpertSplit):
    """Slow and obvious: one row after another, each with the units of its experts."""
    V = down if split.weight is None else split.weight
    found = []
    for row in np.asarray(x, np.float64).reshape(-1, up.shape[0]):
        scores = row @ split.router + split.offset
        best = sorted(range(len(scores)), key=lambda e: -scores[e])[: split.active]
        units = [*split.shared.tolist(), *(u for e in best for u in split.groups[e].tolist())]
        hidden = {u: max(0.0, float(row @ up[:, u] + bias[u])) for u in units}
        found.append(sum(hidden[u] * V[u].astype(np.float64) for u in units) + np.arange(down.shape[1]))
    return np.array(found).reshape(*np.shape(x)[:-1], down.shape[1])


def random_split(up, down, *, seed=0, shared=3, active=2, fitted=False, names=("n0", "n3")):
    """Any units as experts, with any router; names: of the products of `network` without Gemm."""
    rng = np.random.default_rng(seed)
    units = rng.permutation(up.shape[1])
    groups = units[shared:].reshape(-1, GROUP)
    return ExpertSplit(
        up=names[0],
        down=names[1],
        sha256=(fingerprint(up), fingerprint(down)),
        shared=units[:shared],
        groups=groups,
        router=rng.standard_normal((len(up), len(groups))).astype(np.float32),
        offset=rng.standard_normal(len(groups)).astype(np.float32),
        active=active,
        weight=rng.standard_normal(down.shape).astype(np.float32) if fitted else None,
    )
