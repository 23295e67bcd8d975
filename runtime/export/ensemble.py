"""The steps that put parts together again in a server that can only run models: index work is models as well.

    inputs ──► take ──► part0 ──► join ──► outputs
                  └───► part1 ──────┘

Values that parts hand to others are joined and taken in between in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...ir.onnx_ir import onnx_ir as ir
from ...ir.parts.manifest import Manifest, PartFile, PartValue
from ...ir.parts.share import Share
from ...passes.rewrite.parts.index_models import joining, shape_of_share, taking

__all__ = ["Assembly", "AssemblyModel", "ModelRun", "ensemble"]


@dataclass(frozen=True, slots=True)
class ModelRun:
    """A run of a model. reads, writes: tensors of the ensemble by the names that the model has for them."""

    model: str
    reads: Mapping[str, str]
    writes: Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class AssemblyModel:
    """A model that steps run: one that a part is (`part`), or index work (`graph`)."""

    name: str
    inputs: tuple[PartValue, ...]
    outputs: tuple[PartValue, ...]
    part: PartFile | None = None
    graph: ir.Model | None = None


@dataclass(frozen=True, slots=True)
class Assembly:
    """Models, and the steps in which they make the outputs of a manifest's model from its inputs."""

    models: tuple[AssemblyModel, ...]
    steps: tuple[ModelRun, ...]


def ensemble(manifest: Manifest, name: str) -> Assembly:
    """The models and steps of a folder of parts; name: what the names of its models begin with."""
    return _Composer(manifest, name).composed()


class _Composer:
    """Composes steps part by part: a value is joined as soon as it is made, and taken as soon as it is there."""

    def __init__(self, manifest: Manifest, name: str) -> None:
        self.manifest, self.name = manifest, name
        self.values = {value.name: value for value in manifest.values}
        self.writers = {
            value: [part.name for part in manifest.parts if any(share.value == value for share in part.writes)]
            for value in self.values
        }
        self.models: list[AssemblyModel] = []
        self.steps: list[ModelRun] = []
        self.taken: dict[tuple[str, str], str] = {}  # tensors by part and value
        self.made: dict[str, dict[str, str]] = {}  # tensors by value and part
        self.names = set(self.values)

    def composed(self) -> Assembly:
        given = [value.name for value in self.manifest.inputs]
        handed = {share.value for part in self.manifest.parts for share in part.reads} - set(given)
        self._take(given)
        for part in self.manifest.parts:
            self._run(part)
            made = [share.value for share in part.writes if self.writers[share.value][-1] == part.name]
            if read := [value for value in made if value in handed]:
                self._join(read)
                self._take(read)
        self._join([value.name for value in self.manifest.outputs if value.name not in handed])
        return Assembly(tuple(self.models), tuple(self.steps))

    def _take(self, values: Sequence[str]) -> None:
        """Every share of these values that some part reads, by one model."""
        wanted: dict[str, Share] = {}
        for part in self.manifest.parts:
            for share in part.reads:
                if share.value in values and not share.is_whole:
                    wanted[self._fresh(f"{part.name}.{share.value}")] = share
                    self.taken[part.name, share.value] = [*wanted][-1]
        if not wanted:
            return
        sources = [self.values[value] for value in values if any(share.value == value for share in wanted.values())]
        outputs = tuple(self._shared(tensor, share) for tensor, share in wanted.items())
        graph = taking(sources, wanted, self._model("take"))
        self._index(graph, tuple(sources), outputs)

    def _join(self, values: Sequence[str]) -> None:
        """These values of what parts made of them, by one model; those of one part are there already."""
        cut = [self.values[value] for value in values if value in self.made]
        if not cut:
            return
        pieces = {
            tensor: self._written(part, value.name) for value in cut for part, tensor in self.made[value.name].items()
        }
        inputs = tuple(self._shared(tensor, share) for tensor, share in pieces.items())
        self._index(joining(cut, pieces, self._model("join")), inputs, tuple(cut))

    def _run(self, part: PartFile) -> None:
        reads = {share.value: self.taken.get((part.name, share.value), share.value) for share in part.reads}
        writes = {}
        for share in part.writes:
            tensor = share.value
            if not share.is_whole:
                tensor = self._fresh(f"{part.name}.{share.value}")
                self.made.setdefault(share.value, {})[part.name] = tensor
            writes[share.value] = tensor
        name = f"{self.name}.{part.name}"
        inputs, outputs = (
            tuple(self._shared(share.value, share) for share in shares) for shares in (part.reads, part.writes)
        )
        self.models.append(AssemblyModel(name, inputs, outputs, part=part))
        self.steps.append(ModelRun(name, reads, writes))

    def _index(self, graph: ir.Model, inputs: tuple[PartValue, ...], outputs: tuple[PartValue, ...]) -> None:
        name = graph.graph.name or ""
        self.models.append(AssemblyModel(name, inputs, outputs, graph=graph))
        self.steps.append(ModelRun(name, *({one.name: one.name for one in values} for values in (inputs, outputs))))

    def _model(self, kind: str) -> str:
        number = sum(model.graph is not None and f".{kind}" in model.name for model in self.models)
        return f"{self.name}.{kind}{number or ''}"

    def _shared(self, tensor: str, share: Share) -> PartValue:
        value = self.values[share.value]
        return PartValue(tensor, value.dtype, shape_of_share(value, share))

    def _written(self, part: str, value: str) -> Share:
        own = next(one for one in self.manifest.parts if one.name == part)
        return next(share for share in own.writes if share.value == value)

    def _fresh(self, wish: str) -> str:
        name, number = wish, 0
        while name in self.names:
            number += 1
            name = f"{wish}_{number}"
        self.names.add(name)
        return name
