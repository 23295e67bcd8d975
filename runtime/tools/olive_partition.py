"""A pass of Olive that cuts the model of a workflow into parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from olive.passes import Pass
from olive.passes.pass_config import PassConfigParam

from ..ort.trials import Trials
from ..serve.options import PartitionOptions
from ..serve.partition import partition
from .olive_device import provider_of

__all__ = ["ScissionPartition"]


class ScissionPartition(Pass):  # type: ignore[misc]
    """Cut an ONNX model into parts that share no product, proved equal when they are put together.

    What comes out is a composite model of Olive: its components are the parts, and its path the folder of all, which
    `scission.load_parts` and `scission serve` take. Raises PartitionError where nothing is independent, and what
    `scission.partition` raises, with which the workflow ends.
    """

    @classmethod
    def _default_config(cls, accelerator_spec: Any) -> dict[str, PassConfigParam]:
        return {
            "provider": provider_of(accelerator_spec),
            "parts": PassConfigParam(type_=int, default_value=None, description="parts of a layer at the most"),
            "shards": PassConfigParam(
                type_=int, default_value=None, description="cut pairs of products into so many, and add up"
            ),
            "data": PassConfigParam(
                type_=str, default_value=None, description="inputs by name, by which parts are put together"
            ),
            "sizes": PassConfigParam(
                type_=dict[str, int], default_value=None, description="sizes of symbolic dimensions, by name"
            ),
        }

    def _run_for_config(self, model: Any, config: Any, output_model_path: str) -> Any:
        from olive.model import CompositeModelHandler, ONNXModelHandler

        folder = Path(output_model_path).with_suffix("")
        options = PartitionOptions(parts=config.parts, shards=config.shards, data=config.data)
        trials = Trials(provider=config.provider, sizes=config.sizes)
        found = partition(model.model_path, folder, options, trials=trials, overwrite=True)
        return CompositeModelHandler(
            [ONNXModelHandler(model_path=folder, onnx_file_name=part.model) for part in found.manifest.parts],
            [part.name for part in found.manifest.parts],
            model_path=folder,
            model_attributes={**(model.model_attributes or {}), "scission": found.manifest.plan},
        )
