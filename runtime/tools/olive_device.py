"""Whose costs a pass of Olive predicts, by the accelerator of its workflow, and the parameters that passes share."""

from __future__ import annotations

from typing import Any

from olive.passes.pass_config import PassConfigParam

__all__ = ["PROVIDERS", "planned", "provider_of"]

PROVIDERS = {"CPUExecutionProvider": "cpu", "CUDAExecutionProvider": "cuda"}


def provider_of(accelerator_spec: Any) -> PassConfigParam:
    """The parameter `provider`, by default that of the accelerator."""
    own = PROVIDERS.get(str(accelerator_spec.execution_provider), "cpu")
    return PassConfigParam(type_=str, default_value=own, description="who runs it: cpu or cuda")


def planned(accelerator_spec: Any) -> dict[str, PassConfigParam]:
    """The parameters of passes that plan."""
    return {
        "provider": provider_of(accelerator_spec),
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
