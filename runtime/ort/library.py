"""ONNX Runtime itself: whether it is there, its version, and which provider runs models here."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeAlias

import numpy as np
import onnx

from ...ir.errors import ScissionError, option
from ...ir.files.reading import LIBRARY, open_file
from ...ir.reason import Cause, Reason
from .messages import first_line

__all__ = [
    *("EXECUTION_PROVIDER", "Choice", "Foreign", "GraphChoice", "Provider", "SessionError"),
    *(
        "cuda_problem",
        "onnxruntime",
        "register_libraries",
        "require_libraries",
        "require_provider",
        "resolved",
        "runtime_version",
        "session_options",
    ),
]

Provider = Literal["cpu", "cuda"]
Choice = Literal["cpu", "cuda", "auto"]
GraphChoice = Literal["auto", "on", "off"]
Foreign: TypeAlias = Any  # an object of onnxruntime, which ships no types

EXECUTION_PROVIDER = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
NO_TELEMETRY = "ORT_DISABLE_TELEMETRY"  # in the environment: nothing is noted, kept in files or sent
FATAL = 4  # onnxruntime's log severity: what matters comes back as an exception, and as our own message


class SessionError(ScissionError):
    """ONNX Runtime is missing, cannot use the provider asked for, or refuses a model or its inputs."""


def onnxruntime() -> ModuleType:
    """The library, which says nothing in its log and to nobody; raises SessionError where it cannot be imported."""
    # Builds with telemetry write files of their own and report the process while they are imported, before anybody can
    # call `disable_telemetry_events`, and look at the environment once. Processes started from here inherit it.
    os.environ[NO_TELEMETRY] = "1"
    try:
        found = importlib.import_module("onnxruntime")
        found.set_default_logger_severity(FATAL)  # which a folder that an uninstallation left behind has not
        found.disable_telemetry_events()
    except Exception as error:  # a broken installation raises what it likes; its libraries are loaded now
        missing = isinstance(error, ModuleNotFoundError) and error.name == "onnxruntime"
        before = "" if missing else "`pip uninstall onnxruntime onnxruntime-gpu`, then "
        raise SessionError(
            f"onnxruntime cannot be imported ({first_line(error)}); run {before}`pip install onnxruntime`, "
            "or `pip install onnxruntime-gpu` for CUDA"
        ) from error
    return found


def runtime_version() -> str:
    """The version of onnxruntime; raises SessionError when it is not installed."""
    return str(onnxruntime().__version__)


def session_options(
    ort: ModuleType, threads: int | None, optimize: bool, folder: Path | None, arena: bool = True
) -> Foreign:
    """Options of a session with so many threads, its graph optimised or not; folder: where external data lies; arena:
    whether it keeps memory for itself that its runs need."""
    options = ort.SessionOptions()
    options.enable_cpu_mem_arena = arena
    options.log_severity_level = FATAL
    if threads is not None:
        options.intra_op_num_threads = threads
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    # Idle workers spin for a while after each run; two sessions side by side would steal each other's cores.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if folder is not None:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder.absolute()))
    return options


@cache
def cuda_problem() -> Reason | None:
    """Why ONNX Runtime cannot use CUDA here, or None when a session really runs on it.

    A build for CUDA lists the provider even on a machine that has no GPU and then falls back to the CPU, so a tiny
    session is opened to find out. Once per process; it also pays for CUDA's start-up before anything is timed.
    """
    ort = onnxruntime()
    if EXECUTION_PROVIDER["cuda"] not in ort.get_available_providers():
        instead = "run `pip uninstall onnxruntime`, then `pip install onnxruntime-gpu`"
        return Reason(Cause.NO_PROVIDER, f"this onnxruntime is built without CUDA; {instead}")
    if hasattr(ort, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it misses
            ort.preload_dlls()
    value = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "probe", value[:1], value[1:])
    model = onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 13)])
    needs = f"it needs CUDA {getattr(ort, 'cuda_version', '')}, cuDNN and an NVIDIA driver"
    try:
        session = ort.InferenceSession(
            model.SerializeToString(),
            session_options(ort, 1, True, None),
            providers=[EXECUTION_PROVIDER["cuda"], EXECUTION_PROVIDER["cpu"]],
            enable_fallback=0,
        )
        session.run(None, {"x": np.zeros(1, np.float32)})
    except Exception as error:  # every reason is the answer
        return Reason(Cause.NO_PROVIDER, f"onnxruntime cannot start CUDA ({first_line(error)}); {needs}")
    if session.get_providers()[0] != EXECUTION_PROVIDER["cuda"]:
        return Reason(Cause.NO_PROVIDER, f"onnxruntime cannot load its CUDA libraries; {needs}")
    return None


def resolved(provider: Choice, label: str) -> Provider:
    """What a choice of provider comes down to here; raises SessionError when it is CUDA and that cannot be had."""
    if provider == "cpu":
        return "cpu"
    problem = cuda_problem()
    if problem is None:
        return "cuda"
    if provider == "auto":
        return "cpu"
    raise SessionError(f"{label}: asked for CUDA, and {problem}; or use ", option("provider", "cpu"))


def require_provider(provider: str, name: str) -> None:
    """Raise SessionError where models are to be run on CUDA and cannot be, before anything is done with them."""
    if provider == "cuda":
        resolved("cuda", name)


def require_libraries(custom_ops: Sequence[Path]) -> None:
    """Raise SessionError, naming the first that is none, unless each is a library of custom operators."""
    if custom_ops:
        register_libraries(onnxruntime().SessionOptions(), custom_ops)


def register_libraries(options: Foreign, custom_ops: Sequence[Path]) -> None:
    """Register libraries of custom operators; raises SessionError, naming the first that is none."""
    for library in custom_ops:
        try:
            open_file(library, LIBRARY).close()
        except OSError as error:
            why = "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror
            raise SessionError(f"{library}: {why}; ", option("custom_ops"), " names a library") from None
        try:
            options.register_custom_ops_library(str(Path(library).absolute()))  # a bare name is looked up elsewhere
        except Exception as error:
            raise SessionError(f"{library}: not a library of custom operators: {first_line(error)}") from error
