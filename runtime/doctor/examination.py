"""Look at the installation as the commands would meet it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ...passes.lowering.prices import prices_of
from ..ort.environment import gpu_name, processor_name, usable_cores
from ..ort.library import SessionError, cuda_problem, onnxruntime, runtime_version
from ..ort.memory import free_bytes
from ..render.words import megabytes, priced_elsewhere
from ..tune.cache import TuningCache, cache_path
from .finding import Examination, Finding, State
from .importing import broken_imports

__all__ = ["examined"]

NEEDED = ("numpy", "scipy", "onnx", "onnx-ir", "ml-dtypes", "jinja2", "rich", "typer")
RUNTIMES = ("onnxruntime", "onnxruntime-gpu")  # they exclude each other
EXTRAS = (  # (module, distribution, what it is for, how to install it)
    ("torch", "torch", "exports, checkpoints of torch, analysis on a GPU", "pip install torch"),
    ("onnx_graphsurgeon", "onnx-graphsurgeon", "graphs of graphsurgeon", "pip install 'scission[models]'"),
    ("matplotlib", "matplotlib", "pictures and plots", "pip install 'scission[pictures]'"),
    ("uvicorn", "uvicorn", "scission serve", "pip install 'scission[serve]'"),
    ("triton", "triton", "one kernel for Boolean products on CUDA", "pip install 'scission[triton]'"),
)
LITTLE = 1 << 30  # bytes of room below which models are likely not to fit


def examined() -> Examination:
    """What is installed, what runs models, where figures come from, and where files go.

    Nothing is measured and no file is left behind. CUDA is really started where ONNX Runtime has it, which takes some
    seconds, and so are extras imported, in processes of their own.
    """
    return Examination([*_python(), *_libraries(), *_runtimes(), *_prices(), *_extras(), *_places()])


def _python() -> Iterator[Finding]:
    from ... import __version__

    where = Path(__file__).parents[2]
    yield Finding(what="scission", found=f"{__version__} in {where}")
    yield Finding(what="Python", found=f"{platform.python_version()} at {sys.executable}")
    yield Finding(what="machine", found=f"{platform.system()} {platform.machine()}, {processor_name()}")
    cores = usable_cores()
    yield Finding(what="cores", found=f"{cores} of {os.cpu_count()} usable here")


def _libraries() -> Iterator[Finding]:
    for name in NEEDED:
        if (version := _version(name)) is None:
            yield Finding(what=name, found="not installed", state=State.WRONG, advice=f"pip install {name}")
        else:
            yield Finding(what=name, found=version)


def _runtimes() -> Iterator[Finding]:
    """What runs models: which of the two packages, which providers, and whether CUDA really starts."""
    installed = [f"{name} {version}" for name in RUNTIMES if (version := _version(name)) is not None]
    if len(installed) > 1:
        advice = "pip uninstall onnxruntime onnxruntime-gpu, then install the one that you want"
        yield Finding(what="ONNX Runtime", found=" and ".join(installed), state=State.WRONG, advice=advice)
    try:
        version, providers = runtime_version(), onnxruntime().get_available_providers()
    except SessionError as error:
        yield Finding(what="ONNX Runtime", found=str(error), state=State.WRONG, advice="nothing runs a model till then")
        return
    yield Finding(what="ONNX Runtime", found=f"{version}, its telemetry off")
    yield Finding(what="providers", found=", ".join(providers))
    card = gpu_name()
    yield Finding(what="GPU", found=card or "none", state=State.FINE if card else State.ABSENT)
    problem = cuda_problem()
    if problem is None:
        yield Finding(what="CUDA", found="a model ran on it")
    elif card:
        yield Finding(what="CUDA", found=str(problem), state=State.WRONG, advice="or run models on the CPU")
    else:
        yield Finding(what="CUDA", found="no GPU to run on", state=State.ABSENT)


def _prices() -> Iterator[Finding]:
    """Whose times stand for this machine when costs are predicted."""
    yield Finding(what="prices, CPU", found=prices_of("cpu").machine)
    elsewhere = priced_elsewhere("cuda", gpu_name())
    advice = "predictions may be off; tuning measures this card" if elsewhere else ""
    state = State.ABSENT if elsewhere else State.FINE
    yield Finding(what="prices, CUDA", found=elsewhere or prices_of("cuda").machine, state=state, advice=advice)


def _extras() -> Iterator[Finding]:
    broken = broken_imports([module for module, *_ in EXTRAS])
    for module, name, use, how in EXTRAS:
        if module not in broken:
            yield Finding(what=name, found=f"not installed ({use})", state=State.ABSENT, advice=how)
        elif why := broken[module]:
            found, advice = f"cannot be imported ({why})", f"for {use}: pip uninstall {name}, then {how}"
            yield Finding(what=name, found=found, state=State.WRONG, advice=advice)
        else:
            yield Finding(what=name, found=f"{_version(name) or 'installed'} ({use})")


def _places() -> Iterator[Finding]:
    """Where files go, and how much room there is."""
    yield _cache()
    yield _temporary()
    if (memory := free_bytes()) is not None:
        yield Finding(what="memory", found=f"{megabytes(memory)} free")


def _cache() -> Finding:
    cache = cache_path().absolute()
    nearest = next(one for one in (cache.parent, *cache.parent.parents) if os.path.lexists(one))
    there = os.path.lexists(cache)
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK) or (there and not cache.is_file()):
        advice = "name a folder of yours in SCISSION_CACHE"
        return Finding(what="tuning cache", found=f"{cache} cannot be written", state=State.WRONG, advice=advice)
    if problems := TuningCache.open(cache).warnings:
        advice = "what it kept is measured again"
        return Finding(what="tuning cache", found="; ".join(problems), state=State.ABSENT, advice=advice)
    return Finding(what="tuning cache", found=f"{cache}{'' if there else ', not there yet'}")


def _temporary() -> Finding:
    try:
        folder = tempfile.gettempdir()
        room = shutil.disk_usage(folder).free
    except OSError as error:
        advice = "name a folder of yours in TMPDIR"
        return Finding(what="temporary files", found=error.strerror or "no place", state=State.WRONG, advice=advice)
    advice = "name a folder with more room in TMPDIR" if room < LITTLE else ""
    state = State.WRONG if room < LITTLE else State.FINE
    return Finding(what="temporary files", found=f"{folder}, {megabytes(room)} free", state=state, advice=advice)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
