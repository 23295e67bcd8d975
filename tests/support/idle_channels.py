"""The slow account of channels that do nothing: which a model has, which could go, and why the others stay.

Truth comes from running: every channel of every value is disturbed by itself, and held against what it is for other
inputs. What could go follows from it and from which axes are cut alike; what stays though it could go is either a
matter of the numbers in the model, and then does something once those that are not zero are drawn anew, or missed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from unittest import mock

import numpy as np
import onnx
from onnx import helper, numpy_helper

from scission.ir.graph.view import View, view
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.passes.channels.axis_classes import Constraint, Masks
from scission.passes.channels.bounds import windows
from scission.passes.channels.constraints import Pinned
from scission.passes.channels.contraction import Contraction
from scission.passes.channels.removal import Removal, removal_of
from scission.passes.channels.sums import Sum, WeighedSum
from scission.runtime.ort.library import onnxruntime

__all__ = ["Fate", "Truth", "account", "truths"]

SUMMING = Contraction, Sum, WeighedSum
SAME = 1e-5  # of the largest output: no channel of a random network does less unless it does nothing
SCALES = 1.0, -3.0, 20.0  # of the inputs of a random network
DRAWS = 3  # of numbers that are not zero


class Fate(StrEnum):
    """What becomes of a channel that does nothing."""

    GOES = "goes"
    LAST = "stays: nothing of its axis does anything, and one has to stay"
    READ = "stays: one that has to stay reads it"
    TIED = "stays: does something elsewhere along an axis that is cut alike"
    OUTSIDE = "stays: the model's inputs or outputs have it"
    PINNED = "stays: an operator needs all places of the axis"
    CONSTANT = "stays: a constant that no bias can take"
    NUMBERS = "stays: does nothing only with these numbers"
    NOISE = "stays: a norm makes of one number its own rounding, scaled up"
    MISSED = "missed"


@dataclass(frozen=True)
class Truth:
    """Of each channel of an axis: whether outputs are the same whatever it is, whether it is one number, and which."""

    dead: np.ndarray
    constant: np.ndarray
    value: np.ndarray

    @property
    def zero(self) -> np.ndarray:
        return self.constant & (self.value == 0)

    @property
    def idle(self) -> np.ndarray:
        return self.dead | self.constant


def account(model: onnx.ModelProto, feeds: Mapping[str, Any], watched: Iterable[tuple[str, int]]) -> Counter[Any]:
    """How many channels of the watched values are idle and of which fate, `PINNED` with the operator; `wrong` go."""
    seen = view(load(model).graph)
    removal = removal_of(seen.model, seen.found.constants, exact=False)
    floats = _floats(model)
    sets = removal.masks.classes.sets
    members = {
        root: [
            dim
            for dim in dims
            if isinstance(dim[0], ir.Value) and dim[0].name in floats and removal.masks.of(root).size > 1
        ]
        for root, dims in sets.groups().items()
    }
    watched = set(watched)
    wanted = [dim for dims in members.values() for dim in dims if (dim[0].name, dim[1]) in watched]
    all_dims = [(value.name, axis) for dims in members.values() for value, axis in dims]
    truth = truths(model, feeds, all_dims)
    could = _Possible(removal, members, truth)
    told: Counter[Any] = Counter()
    missed: dict[tuple[str, int], np.ndarray] = {}
    for dim in wanted:
        fates = could.fates(dim)
        told.update(fates.values())
        key = (dim[0].name, dim[1])
        told["all"] += truth[key].idle.size
        told["wrong"] += int((~could.ours(dim) & ~truth[key].idle).sum())
        if places := [place for place, fate in fates.items() if fate == Fate.MISSED]:
            missed[key] = np.array(places)
    if missed:
        noise = _noise_of_norms(seen, members, truth, missed)
        told[Fate.NOISE] += noise
        told[Fate.MISSED] -= noise
    if any(places.size for places in missed.values()):
        real = _whatever_the_numbers(model, feeds, all_dims, removal, members, missed)
        told[Fate.NUMBERS] += told[Fate.MISSED] - real
        told[Fate.MISSED] = real
    return +told


def _summed(one: Constraint) -> Sequence[Any]:
    """The axes that a sum is over."""
    if isinstance(one, Contraction):
        return [one.inner]
    return one.inner if isinstance(one, WeighedSum) else one.dims if isinstance(one, Sum) else ()


def _floats(model: onnx.ModelProto) -> set[str]:
    """The names of values that nodes compute in floating point."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    made = {name for node in model.graph.node for name in node.output}
    return made & {one.name for one in (*inferred.value_info, *inferred.output) if one.type.tensor_type.elem_type == 1}


def _noise_of_norms(seen: View, members: Any, truth: Any, missed: dict[tuple[str, int], np.ndarray]) -> int:
    """How many of the places that were missed go where norms are thought to compute exactly; takes them away.

    Of numbers that are all alike a norm has nothing left but what its mean was rounded by, divided by the root of
    epsilon: that need not be its bias, whatever it is with these numbers.
    """
    with mock.patch.object(windows, "NOISE", np.inf):
        exactly = removal_of(seen.model, seen.found.constants, exact=False)
    could, total = _Possible(exactly, members, truth), 0
    for key, places in missed.items():
        (dim,) = {dim for own in members.values() for dim in own if (dim[0].name, dim[1]) == key}
        fates = could.fates(dim)
        left = np.array([place for place in places if fates.get(int(place)) == Fate.MISSED], np.int64)
        total += places.size - left.size
        missed[key] = left
    return total


def _whatever_the_numbers(
    model: onnx.ModelProto, feeds: Any, dims: Sequence[Any], removal: Removal, members: Any, missed: Mapping[Any, Any]
) -> int:
    """How many of the places that were missed could go as well with other numbers that are not zero."""
    stays = {key: np.ones(places.size, bool) for key, places in missed.items()}
    for draw in range(DRAWS):
        other = redrawn(model, np.random.default_rng(draw))
        could = _Possible(removal, members, truths(other, feeds, dims))
        for key, places in missed.items():
            (dim,) = {dim for own in members.values() for dim in own if (dim[0].name, dim[1]) == key}
            fates = could.fates(dim)
            stays[key] &= np.array([fates.get(int(place)) in (Fate.MISSED, Fate.GOES) for place in places])
    return int(sum(one.sum() for one in stays.values()))


def redrawn(model: onnx.ModelProto, rng: np.random.Generator) -> onnx.ModelProto:
    """The same model with other numbers wherever a weight is not zero."""
    changed = onnx.ModelProto.FromString(model.SerializeToString())
    scales = {name for node in model.graph.node if node.op_type == "Resize" for name in node.input}
    for tensor in changed.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32 and array.size > 1 and tensor.name not in scales:
            new = rng.uniform(0.5, 1.5, array.shape) * rng.choice([-1, 1], array.shape)
            new = np.abs(new) if (array >= 0).all() else new  # such as the variances of a norm
            tensor.CopyFrom(numpy_helper.from_array(np.where(array != 0, new, 0).astype(np.float32), tensor.name))
    return changed


@dataclass(frozen=True)
class _Possible:
    """What could go if truth were known, one demand after another; the slow obvious way."""

    removal: Removal
    members: Mapping[Any, Sequence[Any]]
    truth: Mapping[tuple[str, int], Truth]

    def ours(self, dim: Any) -> np.ndarray:
        """What stays as it was found."""
        return self.removal.masks.of(dim)

    def fates(self, dim: Any) -> dict[int, Any]:
        """The fate of each idle channel along an axis."""
        idle = self.truth[dim[0].name, dim[1]].idle
        steps = [(fate, masks.of(dim)) for fate, masks in self.steps()]
        found: dict[int, Any] = {}
        for place in np.flatnonzero(idle).tolist():
            if not self.ours(dim)[place]:
                found[place] = Fate.GOES
                continue
            # Of an axis of which all is idle one place stays, and it does not matter which.
            fate = next(
                (fate for fate, stays in steps if stays[place] or stays.sum() >= self.ours(dim).sum()), Fate.MISSED
            )
            found[place] = (fate, self._pinning(dim)) if fate == Fate.PINNED else fate
        return found

    def _pinning(self, dim: Any) -> str:
        """The operators that need all of the class of an axis."""
        sets = self.removal.masks.classes.sets
        found = {
            one.by.op_type
            for one in self.removal.relations.constraints
            if isinstance(one, Pinned) and one.by is not None and any(sets.root(d) == sets.root(dim) for d in one.dims)
        }
        return " ".join(sorted(found)) or "of an axis that it is tied to"

    def steps(self) -> Iterator[tuple[Fate, Masks]]:
        """What stays, given more and more of what it has to stay for."""
        relations = self.removal.relations
        masks = Masks(relations.classes)
        for root, dims in self.members.items():
            for value, axis in dims:
                masks.keep(root, ~self.truth[value.name, axis].idle)
        moved = [one for one in relations.constraints if not isinstance(one, (Pinned, *SUMMING))]
        pins = [one for one in relations.constraints if isinstance(one, Pinned)]
        yield Fate.TIED, self._settled(masks, moved)
        outside = [one for one in pins if one.by is None]
        yield Fate.OUTSIDE, self._settled(masks, [*moved, *outside])
        yield Fate.PINNED, self._settled(masks, [*moved, *pins])
        for one in relations.constraints:
            for dim in _summed(one):
                own = self._told(dim)
                if own is not None and not getattr(one, "folds", False):
                    masks.keep(dim, ~own.dead & ~own.zero & ~self._zero_beside(one, dim))
        yield Fate.CONSTANT, self._settled(masks, [*moved, *pins])
        last = Masks(relations.classes, {key: mask.copy() for key, mask in masks.kept.items()})
        last.settle([*moved, *pins])
        yield Fate.LAST, last
        read = Masks(relations.classes, {key: mask.copy() for key, mask in last.kept.items()})
        read.settle(
            [
                *moved,
                *pins,
                *(self._truly(one) for one in relations.constraints if isinstance(one, Contraction | WeighedSum)),
            ]
        )
        yield Fate.READ, read

    def _truly(self, one: Contraction | WeighedSum) -> Constraint:
        """A product that is told what channels always hold."""
        if isinstance(one, WeighedSum):
            told = [own.zero for dim in one.inner if (own := self._told(dim)) is not None]
            return replace(one, free=np.logical_or.reduce([one.free, *told]))
        own = self._told(one.inner)
        return one if own is None else replace(one, constants=np.where(own.constant, own.value, np.nan))

    def _zero_beside(self, one: Constraint, dim: Any) -> np.ndarray:
        """Where the other side of a sum of products of two values is zero."""
        zero = np.zeros(self.removal.masks.classes.extent(dim), bool)
        for other in _summed(one) if not isinstance(one, Contraction) else ():
            if (own := self._told(other)) is not None:
                zero |= own.zero
        return zero

    def _told(self, dim: Any) -> Truth | None:
        value, axis = dim
        return self.truth.get((value.name, axis)) if isinstance(value, ir.Value) else None

    def _settled(self, masks: Masks, constraints: Sequence[Constraint]) -> Masks:
        before = -1
        while before != (before := sum(int(mask.sum()) for mask in masks.kept.values())):
            for one in constraints:
                one.hold(masks)
        return Masks(masks.classes, {key: mask.copy() for key, mask in masks.kept.items()})


def truths(model: onnx.ModelProto, feeds: Mapping[str, Any], dims: Iterable[tuple[str, int]]) -> dict[Any, Truth]:
    """The slow truth of channels of some values, each disturbed by itself while the model runs on several inputs."""
    dims = list(dict.fromkeys(dims))
    names = list(dict.fromkeys(name for name, _ in dims))
    session = _session(_disturbable(model, names))
    outputs = [f"{one.name}/disturbed" if one.name in names else one.name for one in model.graph.output]
    still = {f"{name}/noise": np.zeros(1, np.float32) for name in names}
    others = [{key: array * np.asarray(scale, array.dtype) for key, array in feeds.items()} for scale in SCALES]
    others[-1] = {key: _longer(model, key, array) for key, array in others[-1].items()}
    before = [session.run(None, {**one, **still}) for one in others]
    seen = {name: [run[len(outputs) + place] for run in before] for place, name in enumerate(names)}
    rng = np.random.default_rng(0)
    found = {}
    for name, axis in dims:
        extent = seen[name][0].shape[axis]
        rows = np.concatenate([np.moveaxis(one, axis, 0).reshape(extent, -1) for one in seen[name]], axis=1)
        size = max(np.abs(rows).max(), 1)
        constant = np.ptp(rows, axis=1) <= SAME * size
        dead = np.ones(extent, bool)
        for channel in range(extent):
            for feed, base, value in zip(others, before, seen[name], strict=True):
                noise = np.zeros(value.shape, np.float32)
                one = (slice(None),) * axis + (channel,)
                noise[one] = (rng.standard_normal(noise[one].shape) + 2) * max(np.abs(value).max(), 1)
                after = session.run(outputs, {**feed, **still, f"{name}/noise": noise})
                pairs = zip(after, base, strict=False)
                dead[channel] &= all(np.abs(x - y).max() <= SAME * max(np.abs(y).max(), 1e-3) for x, y in pairs)
        found[name, axis] = Truth(dead, constant, np.where(np.abs(rows[:, 0]) <= SAME * size, 0, rows[:, 0]))
    return found


def _longer(model: onnx.ModelProto, name: str, array: np.ndarray) -> np.ndarray:
    """Twice as much along open axes."""
    (own,) = (one for one in model.graph.input if one.name == name)
    open_ = [axis for axis, dim in enumerate(own.type.tensor_type.shape.dim) if not dim.dim_value]
    for axis in open_:
        array = np.concatenate([array, -array], axis)
    return array


def _disturbable(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """A model that adds an input to each of some values, and has those values as outputs as well."""
    changed = onnx.ModelProto.FromString(model.SerializeToString())
    nodes = []
    held = set(names)
    for node in changed.graph.node:
        node.input[:] = [f"{name}/disturbed" if name in held else name for name in node.input]
        nodes.append(node)
        for name in held.intersection(node.output):
            nodes.append(helper.make_node("Add", [name, f"{name}/noise"], [f"{name}/disturbed"]))
    fresh = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del changed.graph.node[:]
    changed.graph.node.extend(fresh)
    changed.graph.input.extend(helper.make_tensor_value_info(f"{name}/noise", 1, None) for name in names)
    for output in changed.graph.output:
        output.name = f"{output.name}/disturbed" if output.name in held else output.name
    changed.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    del changed.graph.value_info[:]
    return changed


def _session(model: onnx.ModelProto) -> Any:
    options = onnxruntime().SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime().GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime().InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
