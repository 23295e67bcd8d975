"""Passes of Olive that split the model of a workflow: what is independent, and what can be made so within a budget."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

from olive.passes import Pass
from olive.passes.pass_config import PassConfigParam

from ..pipeline.options import OptimizeOptions, PlanOptions
from .olive_device import planned
from .proved import proved

__all__ = ["ScissionSplit", "ScissionSweep"]


class ScissionSplit(Pass):  # type: ignore[misc]
    """Split the dense weights of an ONNX model, proved equal; the original, byte for byte, where nothing is gained.

    Raises SplitError where the split model differs, and what `scission.optimize` raises, with which the workflow ends.
    """

    @classmethod
    def _default_config(cls, accelerator_spec: Any) -> dict[str, PassConfigParam]:
        return planned(accelerator_spec)

    def _run_for_config(self, model: Any, config: Any, output_model_path: str) -> Any:
        return _split(model, config, output_model_path, {}, None)


class ScissionSweep(Pass):  # type: ignore[misc]
    """Remove weights that learning did not confirm at the strongest level that a budget allows, and split what is left.

    Lossy: `max_drop`, as 'argmax<=0.01', bounds what the metric loses on `data`. Where no level splits anything within
    it, the original comes out, byte for byte. Raises what `scission.optimize` raises, with which the workflow ends.
    """

    @classmethod
    def _default_config(cls, accelerator_spec: Any) -> dict[str, PassConfigParam]:
        return {
            "data": PassConfigParam(
                type_=str, required=True, description="inputs by name: .npz, .npy, .csv, .parquet, a folder"
            ),
            "labels": PassConfigParam(type_=str, default_value=None, description="their labels, in the same forms"),
            "max_drop": PassConfigParam(
                type_=str, required=True, description="how much a metric may lose, such as argmax<=0.01"
            ),
            "anneal": PassConfigParam(type_=str, default_value="auto", description="the method, as auto or blocks"),
            **planned(accelerator_spec),
        }

    def _run_for_config(self, model: Any, config: Any, output_model_path: str) -> Any:
        judged = {"data": config.data, "labels": config.labels, "max_drop": config.max_drop}
        return _split(model, config, output_model_path, judged, config.anneal)


def _split(model: Any, config: Any, output_model_path: str, judged: dict[str, Any], anneal: str | None) -> Any:
    """The model of Olive that comes out."""
    from olive.model.utils import resolve_onnx_path

    path = resolve_onnx_path(output_model_path, Path(model.model_path).name)
    options = PlanOptions(provider=config.provider, batch=config.batch, sizes=config.sizes, force=config.force)
    further = OptimizeOptions(bench=config.bench, overwrite=True, **judged)
    result = proved(model.model_path, options, further, output=path, anneal=anneal)
    split = deepcopy(model)
    split.set_resource("model_path", path)
    split.model_attributes = {**(model.model_attributes or {}), "scission": result.outcome}
    return split
