"""Random networks of recurrent operators of which some hidden units do nothing, in every form that they come in."""

from __future__ import annotations

from typing import Any

import numpy as np
from reference import model as model_of
from reference import node

__all__ = ["cells"]

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
FUNCTIONS = {
    "RNN": [["Tanh"], ["Relu"], ["Sigmoid"]],
    "GRU": [["Sigmoid", "Tanh"], ["HardSigmoid", "Tanh"], ["Sigmoid", "Sigmoid"], ["Sigmoid", "Relu"]],
    "LSTM": [["Sigmoid", "Tanh", "Tanh"], ["HardSigmoid", "Tanh", "Relu"], ["Sigmoid", "Sigmoid", "Tanh"]],
}
WIDTH, LONG, BATCH = 5, 4, 3


class Cells:
    """A network in the making: what goes on is (positions, batch, width)."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng, self.nodes, self.constants, self.count = rng, [], {}, 0
        self.inputs: dict[str, Any] = {"x": ([LONG, "n", WIDTH], np.float32)}
        self.feeds = {"x": self.normal(LONG, BATCH, WIDTH)}

    def normal(self, *shape: int) -> np.ndarray:
        return self.rng.standard_normal(shape).astype(np.float32)

    def some(self, extent: int) -> np.ndarray:
        return np.flatnonzero(self.rng.random(extent) < self.rng.choice([0.0, 0.3, 0.7]))

    def held(self, array: np.ndarray) -> str:
        self.count += 1
        self.constants[f"c{self.count}"] = array
        return f"c{self.count}"

    def op(self, kind: str, inputs: str, results: int = 1, **attributes: Any) -> str:
        """Append a node; its results."""
        self.count += 1
        made = " ".join(f"v{self.count}_{place}" for place in range(results))
        self.nodes.append(node(kind, inputs, made, f"n{self.count}", **attributes))
        return made

    def linear(self, x: str, K: int, N: int) -> str:
        """A product of which some rows and columns are zero, and a bias, here and there."""
        W = self.normal(K, N)
        W[self.some(K)], W[:, self.some(N)] = 0, 0
        y = self.op("MatMul", f"{x} {self.held(W)}")
        return self.op("Add", f"{y} {self.held(self.normal(N) * (self.rng.random(N) < 0.5))}") if self.chance() else y

    def chance(self, share: float = 0.5) -> bool:
        return bool(self.rng.random() < share)

    def start(self, x: str, count: int, hidden: int) -> str:
        """Where a state starts from: left out, zeros of all kinds, numbers, or what is fed."""
        kind = self.rng.choice(["-", "-", "zeros", "computed", "expanded", "some", "fed"])
        if kind == "zeros":
            return self.held(np.zeros((count, BATCH, hidden), np.float32))
        if kind == "computed":
            extent = self.op("Slice", f"{self.op('Shape', x)} {self.held(np.array([1]))} {self.held(np.array([2]))}")
            ends = self.held(np.array([count + 1])), self.held(np.array([hidden]))
            zeros = self.op("ConstantOfShape", self.op("Concat", f"{ends[0]} {extent} {ends[1]}", axis=0))
            return self.op("Slice", f"{zeros} {self.held(np.array([0]))} {self.held(np.array([count]))}")
        if kind == "expanded":
            extent = self.op("Slice", f"{self.op('Shape', x)} {self.held(np.array([1]))} {self.held(np.array([2]))}")
            ends = self.held(np.array([count])), self.held(np.array([hidden]))
            target = self.op("Concat", f"{ends[0]} {extent} {ends[1]}", axis=0)
            return self.op("Expand", f"{self.held(np.zeros(1, np.float32))} {target}")
        if kind == "some":
            array = self.normal(count, BATCH, hidden)
            array[:, :, self.some(hidden)] = 0
            return self.held(array)
        if kind == "fed":
            self.count += 1
            name = f"s{self.count}"
            self.inputs[name] = ([count, BATCH, hidden], np.float32)
            self.feeds[name] = self.normal(count, BATCH, hidden)
            return name
        return "-"

    def weights(self, kind: str, count: int, features: int, hidden: int) -> list[np.ndarray]:
        """W, R and B; some units make zero of their own or only of one another, some are read by nobody but themselves,
        some features are not read."""
        gates = GATES[kind]
        W, R = self.normal(count, gates, hidden, features), self.normal(count, gates, hidden, hidden)
        B = self.normal(count, 2, gates, hidden) * self.chance(0.7)
        gone, unread = self.some(hidden), self.some(hidden)
        for way in range(count):
            if way and self.chance():
                gone, unread = self.some(hidden), self.some(hidden)
            own = -1 if kind != "GRU" or self.chance(0.9) else 0
            W[way, own, gone], B[way, :, own, gone] = 0, 0
            left = np.setdiff1d(np.arange(hidden), gone)
            R[way, own][np.ix_(gone, left)] = 0
            R[way][:, np.setdiff1d(np.arange(hidden), unread)[:, None], unread] = 0
            if self.chance(0.2) and gone.size:  # one that is woken after all
                R[way, own, gone[0], self.rng.integers(hidden)] = 1
        W[..., self.some(features)] = 0
        return [W.reshape(count, -1, features), R.reshape(count, -1, hidden), B.reshape(count, -1)]

    def layer(self, x: str, features: int) -> tuple[str, int]:
        """A recurrent operator, and what is made of its results."""
        rng, kind = self.rng, str(self.rng.choice(list(GATES)))
        direction = str(rng.choice(["forward", "reverse", "bidirectional"]))
        count, hidden = 1 + (direction == "bidirectional"), int(rng.integers(2, 6))
        W, R, B = self.weights(kind, count, features, hidden)
        told: dict[str, Any] = {"hidden_size": hidden, "direction": direction}
        if self.chance(0.4):
            told["activations"] = FUNCTIONS[kind][int(rng.integers(len(FUNCTIONS[kind])))] * count
        if self.chance(0.2):
            told["clip"] = 1.5
        if kind == "GRU":
            told["linear_before_reset"] = int(rng.integers(2))
        if kind == "LSTM" and self.chance(0.2):
            told["input_forget"] = 1
        read = [x, self.held(W), self.held(R), self.held(B) if B.any() or self.chance() else "-"]
        read.append(self.held(np.array([4, 2, 3], np.int32)) if self.chance(0.3) else "-")
        read.append(self.start(x, count, hidden))
        if kind == "LSTM":
            read.append(self.start(x, count, hidden))
            read.append(self.held(self.normal(count, 3 * hidden)) if self.chance(0.3) else "-")
        results = self.op(kind, " ".join(read), 3 if kind == "LSTM" else 2, **told).split()
        y = results[0]
        if self.chance(0.25):  # what the last step leaves, beside each step
            last = results[1] if kind != "LSTM" or self.chance() else results[2]
            y = self.op("Add", f"{y} {self.op('Unsqueeze', f'{last} {self.held(np.array([0]))}')}")
        if self.chance(0.6):
            y = self.op(str(rng.choice(["Relu", "Tanh", "Sigmoid", "Abs"])), y)
        if count == 1 and self.chance():
            return self.op("Squeeze", f"{y} {self.held(np.array([1]))}"), hidden
        turned = self.op("Transpose", y, perm=[0, 2, 1, 3])
        return self.op("Reshape", f"{turned} {self.held(np.array([0, 0, count * hidden]))}"), count * hidden


def cells(seed: int) -> tuple[Any, dict[str, Any]]:
    """One or two layers between products, and feeds."""
    made = Cells(np.random.default_rng(seed))
    x, width = "x", WIDTH
    if made.chance(0.7):
        width = int(made.rng.integers(2, 7))
        x = made.linear(x, WIDTH, width)
        x = made.op(str(made.rng.choice(["Relu", "Tanh", "Sigmoid"])), x) if made.chance() else x
    for _ in range(int(made.rng.integers(1, 3))):
        x, width = made.layer(x, width)
    y = made.linear(x, width, 3)
    return model_of(made.nodes, made.inputs, [y], made.constants, opset=17, ir_version=9), made.feeds
