"""A model run in stages over the same samples: each stage begins where the one before it ended, with other weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.graph.constants import Constants
from ....ir.io.load import Model
from ....ir.io.tensors import every_node, inner_graphs, read
from ....ir.onnx_ir import onnx_ir as ir
from ....passes.rewrite.pruning.part_between import part_between
from ...ort.opened import written
from ...ort.session import ModelSource, Session, open_session
from ...ort.trials import Trials

__all__ = ["Stages"]

Array = npt.NDArray[Any]


@dataclass(slots=True, eq=False)
class Stages:
    """Values of the main graph of a model for each of some feeds, computed as they are asked for.

        feeds     stage 1          stage 2                 ● asked for: what linears read
        x ──────> a ──> b ──> ●    ──> c ──> d ──> ●       what later stages read is kept, everything else is not
                   └──────────────────────────────>

    home: where weights are read from; nodes that have run do not run again, so that each stage may be given a graph
    whose weights behind what was asked for are others. Raises SessionError where ONNX Runtime refuses a part.
    """

    home: Model
    feeds: Sequence[Mapping[str, Array]]
    trials: Trials
    _held: list[dict[str, Array]] = field(init=False)
    _done: set[str] = field(default_factory=set, init=False)  # names of values whose nodes have run

    def __post_init__(self) -> None:
        given = self.home.graph.graph.inputs
        defaults = {value.name or "": read(value.const_value) for value in given if value.const_value is not None}
        fed = ({name: np.asarray(array) for name, array in feed.items()} for feed in self.feeds)
        self._held = [{**defaults, **feed} for feed in fed]

    def run(self, graph: ir.Model, names: Sequence[str]) -> list[dict[str, Array]]:
        """The values of these names, for each feed; graph: the model as it is by now."""
        main = graph.graph
        values = ir.convenience.create_value_mapping(main, include_subgraphs=False)
        new = _ancestors(main, [values[name] for name in names], self._done | set(self._held[0]))
        constants = Constants(graph)
        varying = [value for node in new for value in node.outputs if value.name and value not in constants]
        behind = {value.name or "" for value in varying}
        executed = self._done | behind
        leaves = [value for value in varying if any(not _has_run(use.node, executed) for use in value.uses())]
        wanted = {value.name or "": value for value in leaves}
        wanted |= {name: values[name] for name in names if name in behind}
        if new:
            first = self._held[0]
            entering = {
                name: (ir.DataType.from_numpy(first[name].dtype), first[name].ndim) for name in _entering(new, first)
            }
            self._run(part_between(graph, entering, list(wanted)), list(entering), list(wanted))
        self._done = executed
        found = [{name: held[name] for name in names} for held in self._held]
        self._forget(main)
        return found

    def _run(self, part: ir.Model, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        with written(self.home, part, "stage") as path:
            session = self._open(path)
            for held in self._held:
                held.update(session.run({name: held[name] for name in inputs}))
            del session

    def _open(self, path: Any) -> Session:
        trials = self.trials
        return open_session(
            ModelSource(path, self.home.name),
            provider=trials.provider,
            threads=trials.threads,
            tf32=False,
            custom_ops=trials.custom_ops,
        )

    def _forget(self, main: ir.Graph) -> None:
        """Keep what a node reads that has not run."""
        kept = {value.name for node in main if not _has_run(node, self._done) for value in _reads(node)}
        for held in self._held:
            for name in [name for name in held if name not in kept]:
                del held[name]


def _reads(node: ir.Node) -> list[ir.Value]:
    """What a node reads, and the graphs inside it from outside."""
    inside = [value for graph in inner_graphs(node) for inner in every_node(graph) for value in inner.inputs]
    return [value for value in (*node.inputs, *inside) if value is not None and value.name]


def _ancestors(main: ir.Graph, values: Sequence[ir.Value], known: set[str]) -> list[ir.Node]:
    """The nodes that have to run for these values, in order, those of values that are known aside."""
    needed: set[ir.Node] = set()
    pending = list(values)
    while pending:
        value = pending.pop()
        node = value.producer()
        if node is None or node in needed or node.graph is not main or value.name in known:
            continue
        needed.add(node)
        pending += _reads(node)
    return [node for node in main if node in needed]


def _has_run(node: ir.Node, done: set[str]) -> bool:
    return any(output.name in done for output in node.outputs)


def _entering(new: Sequence[ir.Node], held: Mapping[str, Array]) -> list[str]:
    """Names of what nodes read that is held."""
    made = {value.name for node in new for value in node.outputs}
    names = (value.name or "" for node in new for value in _reads(node))
    return [name for name in dict.fromkeys(names) if name in held and name not in made]
