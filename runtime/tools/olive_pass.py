"""A pass of Olive that splits the model of a workflow."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

from olive.package_config import OlivePackageConfig
from olive.passes import Pass
from olive.passes.pass_config import PassConfigParam

from ..pipeline.options import OptimizeOptions, PlanOptions
from .proved import proved

__all__ = ["ScissionSplit", "package_config"]

PROVIDERS = {"CPUExecutionProvider": "cpu", "CUDAExecutionProvider": "cuda"}
PASS = {
    "module_path": "scission.olive.ScissionSplit",
    "supported_providers": list(PROVIDERS),
    "supported_accelerators": ["cpu", "gpu"],
    "supported_precisions": ["*"],
    "supported_algorithms": [],
    "supported_quantization_encodings": [],
}


class ScissionSplit(Pass):  # type: ignore[misc]
    """Split the dense weights of an ONNX model, proved equal; the original, byte for byte, where nothing is gained.

    Raises SplitError where the split model differs, and what `scission.optimize` raises: the workflow then goes on
    without the pass, as Olive does with any pass that fails.
    """

    @classmethod
    def _default_config(cls, accelerator_spec: Any) -> dict[str, PassConfigParam]:
        provider = PROVIDERS.get(str(accelerator_spec.execution_provider), "cpu")
        return {
            "provider": PassConfigParam(
                type_=str, default_value=provider, description="whose costs are predicted: cpu or cuda"
            ),
            "batch": PassConfigParam(
                type_=list[int], default_value=None, description="sizes of the leading open dimension to predict for"
            ),
            "sizes": PassConfigParam(
                type_=dict[str, int], default_value=None, description="sizes of symbolic dimensions, by name"
            ),
            "force": PassConfigParam(
                type_=bool, default_value=False, description="split whatever splits, also where that is slower"
            ),
            "bench": PassConfigParam(
                type_=bool, default_value=True, description="measure, and keep the original where it is faster"
            ),
        }

    def _run_for_config(self, model: Any, config: Any, output_model_path: str) -> Any:
        from olive.model.utils import resolve_onnx_path

        path = resolve_onnx_path(output_model_path, Path(model.model_path).name)
        options = PlanOptions(provider=config.provider, batch=config.batch, sizes=config.sizes, force=config.force)
        further = OptimizeOptions(bench=config.bench, overwrite=True)
        result = proved(model.model_path, options, further, output=path)
        split = deepcopy(model)
        split.set_resource("model_path", path)
        split.model_attributes = {**(model.model_attributes or {}), "scission": result.outcome}
        return split


def package_config(path: str | Path | None = None) -> dict[str, Any]:
    """Olive's own package configuration with the pass ScissionSplit in it, for `olive.run(…, package_config=…)`.

    path: a JSON file to write it to as well, for the command line of Olive.
    """
    config: dict[str, Any] = json.loads(Path(OlivePackageConfig.get_default_config_path()).read_text(encoding="utf-8"))
    config["passes"]["ScissionSplit"] = PASS
    if path is not None:
        Path(path).write_text(json.dumps(config, indent=1), encoding="utf-8")
    return config
