"""ONNX Runtime sessions: a model on the provider asked for, or an error, never another."""

from __future__ import annotations

import contextlib
import ctypes
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import ml_dtypes
import numpy as np
import numpy.typing as npt
import onnx

from ...ir.errors import option
from ...ir.files.reading import PROFILE, read_bytes
from ...ir.io.external import links_followed
from ...ir.printable import is_text
from ...ir.supervision.board import Act
from ...ir.supervision.telling import running
from .halt import run_options
from .library import (
    EXECUTION_PROVIDER,
    Choice,
    Foreign,
    Provider,
    SessionError,
    onnxruntime,
    register_libraries,
    resolved,
    session_options,
)
from .memory import given_back_at_once
from .messages import explain
from .tensor_spec import TensorSpec, number_type, spec_of_argument

__all__ = ["ORT", "Bound", "ModelSource", "Session", "open_session"]

Array = npt.NDArray[Any]

ORT = "ONNX Runtime"  # who runs models here
UNCAPTURED = ("gpu_graph_id", "-1")  # run option: neither record a CUDA graph nor replay one

APART = "ONNX Runtime cannot do in one run; ask for other outputs alone, or cast that one to float32 in the model"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Session:
    """One model, loaded on one provider.

    name: the file, for messages; threads: intra-op, None for ONNX Runtime's own choice; load_seconds: what opening
    took, the provider's own start-up excluded; source: what was opened; ort: onnxruntime's InferenceSession;
    cuda_graph: whether a bound call records its kernels once and replays them from then on.
    """

    name: str
    provider: Provider
    threads: int | None
    load_seconds: float
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    source: Path | bytes
    ort: Foreign
    cuda_graph: bool = False

    def run(self, feeds: Mapping[str, Array], names: Sequence[str] | None = None) -> dict[str, Any]:
        """The outputs (all of them, or those in `names`) for these inputs, by name and in order.

        Tensors come as arrays, sequences as lists. Raises SessionError when ONNX Runtime refuses the inputs or fails.
        """
        wanted = [output.name for output in self.outputs] if names is None else list(names)
        self._require(feeds)
        with self.told(), _explained(self.name), run_options(_uncaptured(self)) as how:
            if not self._needs_values(wanted):
                given = {name: _to_value(array) if _is_short(array) else array for name, array in feeds.items()}
                return dict(zip(wanted, self.ort.run(wanted, given, how), strict=True))
            if text := [name for name, array in feeds.items() if np.asarray(array).dtype.kind in "OUS"]:
                raise SessionError(f"{self.name}: takes text ({text[0]!r}) and gives bfloat16, which {APART}")
            values = {name: _to_value(array) for name, array in feeds.items()}
            return {
                name: _to_array(value)
                for name, value in zip(wanted, self.ort.run_with_ort_values(wanted, values, how), strict=True)
            }

    def told(self) -> contextlib.AbstractContextManager[None]:
        """Tells whoever supervises this process that the model runs, for as long as the context lasts."""
        return running(ORT, Act.RUN, self.name)

    def bind(self, feeds: Mapping[str, Array]) -> Bound:
        """A call that runs the model on inputs already copied to where it wants them; outputs stay on the device.

        This is what a benchmark times: neither copies between host and GPU nor memory for the outputs are in it, and it
        returns when the GPU has finished. The model runs once, to learn the sizes of its outputs.
        Raises SessionError, here or when called, when ONNX Runtime refuses the inputs or fails.
        """
        self._require(feeds)
        if any(spec.dtype == "string" for spec in self.inputs):  # text cannot be bound
            return Bound(session=self, feeds=feeds, binding=None, room={})
        with self.told(), _explained(self.name):
            values = {name: _to_value(array) for name, array in feeds.items()}
            binding = self.ort.io_binding()
            for name, value in values.items():
                binding.bind_ortvalue_input(name, value)  # copies to the device now, once
            binding.synchronize_inputs()
            for output in self.outputs:
                binding.bind_output(output.name, self.provider)
            room = _bind_room(self, binding)
        return Bound(session=self, feeds=values, binding=binding, room=room)

    def events(self) -> list[tuple[str, int, int]]:
        """(name, start, duration), in microseconds, of all that ran in a session opened with a profile; ends it."""
        with _explained(self.name):
            path = Path(self.ort.end_profiling())
            found = json.loads(read_bytes(path, PROFILE))
        return [(event["name"], event["ts"], event["dur"]) for event in found if "dur" in event]

    def _require(self, feeds: Mapping[str, Array]) -> None:
        missing = [spec.name for spec in self.inputs if spec.name not in feeds and not spec.dtype.startswith("opt")]
        if missing:
            raise SessionError(f"{self.name}: no value for the inputs {missing}; got {sorted(feeds)}")

    def _needs_values(self, wanted: Sequence[str]) -> bool:
        """Whether bfloat16 comes out, which `InferenceSession.run` cannot convert to NumPy."""
        return any(spec.dtype == "bfloat16" and spec.name in wanted for spec in self.outputs)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bound:
    """A model bound to its inputs and outputs: calling it runs the model and waits until it has finished.

    feeds: the inputs, alive as long as they are bound; binding: onnxruntime's, None for text, which cannot be bound;
    room: memory that stays the same from call to call, and NumPy's type of what is in it. Outputs without room (text,
    sequences, empty ones, sizes that vary) get new memory in every run.
    """

    session: Session
    feeds: Mapping[str, Any]
    binding: Foreign
    room: dict[str, tuple[Foreign, np.dtype[Any]]]

    @property
    def fixed(self) -> bool:
        """Whether every output has room."""
        return len(self.room) == len(self.session.outputs)

    def __call__(self) -> None:
        """Run the model; raises SessionError when ONNX Runtime fails."""
        if self.binding is None:
            self.session.run(self.feeds)
            return
        try:
            self._run()
        except Exception as error:
            if not self.room or self.session.cuda_graph:
                raise SessionError(*explain(self.session.name, error)) from error
            self._give_up_room()

    def outputs(self) -> dict[str, Array]:
        """What the last call wrote into room, copied to the host, by name; raises SessionError where CUDA fails."""
        with _explained(self.session.name):
            return {name: np.array(value.numpy()).view(dtype) for name, (value, dtype) in self.room.items()}

    def spoil(self) -> None:
        """Set every bit of the room, NaN for floats, so that what is right afterwards was written by a call.

        Raises SessionError where CUDA fails.
        """
        with _explained(self.session.name):
            for value, _ in self.room.values():
                like = value.numpy()
                value.update_inplace(np.full(like.nbytes, 0xFF, np.uint8).view(like.dtype).reshape(like.shape))

    def _run(self) -> None:
        if not self.fixed:
            for output in self.session.outputs:
                if output.name not in self.room:  # or else the memory of the run before would have to fit
                    self.binding.bind_output(output.name, self.session.provider)
        with run_options(() if self.fixed else _uncaptured(self.session)) as how:
            self.session.ort.run_with_iobinding(self.binding, how)
        self.binding.synchronize_outputs()

    def _give_up_room(self) -> None:
        """Run once more, with new memory for every output from now on: sizes that depend on data may not fit."""
        self.room.clear()
        with _explained(self.session.name):
            self._run()


@dataclass(frozen=True, slots=True)
class ModelSource:
    """What a session is opened of: a file, which may be of any size, or the bytes of a model.

    name: for messages, else the path; folder: where external data of bytes lies; is_one_of_many: no memory is kept.
    """

    model: Path | bytes
    name: str | None = None
    folder: Path | None = None
    is_one_of_many: bool = False

    @property
    def label(self) -> str:
        """What messages call it."""
        return self.name or (str(self.model) if isinstance(self.model, Path) else "model in memory")

    def located(self) -> ModelSource:
        """The same for ONNX Runtime: external data of bytes where its links lead."""
        if isinstance(self.model, Path):
            return replace(self, folder=None)
        if self.folder is None:
            return self
        model, folder = links_followed(self.model, self.folder)
        return replace(self, model=model, folder=folder)


def open_session(
    model: Path | bytes | ModelSource,
    *,
    provider: Choice = "cpu",
    threads: int | None = None,
    optimize: bool = True,
    tf32: bool = True,
    cuda_graph: bool = False,
    custom_ops: Sequence[Path] = (),
    profile: Path | None = None,
) -> Session:
    """Load a model into ONNX Runtime on the provider asked for; 'auto' is CUDA where it really works, else the CPU.

    A path is opened by ONNX Runtime itself, so models with external data of any size do. optimize: False switches graph
    optimisation off. tf32: on CUDA, whether float32 products may be rounded to 10 bits (ONNX Runtime's default), which
    no float32 error bound allows for. cuda_graph: on CUDA, whether bound calls record their kernels as one CUDA graph
    and replay it, in the thread that recorded it; `run` does not. custom_ops: libraries of custom operators. profile:
    the beginning of a path at which every node that runs is written down, until `Session.events` reads it.
    Raises SessionError naming the model when CUDA was asked for and cannot be had, when CUDA graphs were and the
    provider is the CPU, or when the model is refused.
    """
    source = model if isinstance(model, ModelSource) else ModelSource(model)
    label = source.label
    if provider not in get_args(Choice):
        raise SessionError(f"unknown provider {provider!r}; use one of {list(get_args(Choice))}")
    if threads is not None and threads < 1:
        raise SessionError(f"threads must be at least 1, got {threads}")
    ort = onnxruntime()
    chosen = resolved(provider, label)
    if cuda_graph and chosen != "cuda":
        instead = option("provider", "cuda"), " or ", option("cuda_graph", "off")
        raise SessionError(f"{label}: CUDA graphs run on CUDA only; use ", *instead)
    source = source.located()
    options = session_options(ort, threads, optimize, source.folder, arena=not source.is_one_of_many)
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    register_libraries(options, custom_ops)
    providers: list[Any] = [EXECUTION_PROVIDER["cpu"]]
    if chosen == "cuda":
        settings = {"use_tf32": str(int(tf32)), "enable_cuda_graph": str(int(cuda_graph))}
        providers.insert(0, (EXECUTION_PROVIDER["cuda"], settings))
    opened = str(source.model) if isinstance(source.model, Path) else source.model
    if isinstance(opened, str) and not is_text(opened):
        raise SessionError(f"{label}: {ORT} opens no path that is no text in UTF-8; call the file or folder otherwise")
    start = time.perf_counter()
    with running(ORT, Act.OPEN, label), _explained(label), given_back_at_once():
        session = ort.InferenceSession(opened, options, providers=providers, enable_fallback=0)
    seconds = time.perf_counter() - start
    if session.get_providers()[0] != EXECUTION_PROVIDER[chosen]:  # onnxruntime only warns
        raise SessionError(f"{label}: asked for {chosen}, onnxruntime runs it on {session.get_providers()[0]}")
    return Session(
        name=label,
        provider=chosen,
        threads=threads,
        load_seconds=seconds,
        inputs=tuple(spec_of_argument(argument) for argument in session.get_inputs()),
        outputs=tuple(spec_of_argument(argument) for argument in session.get_outputs()),
        source=source.model,
        ort=session,
        cuda_graph=cuda_graph,
    )


@contextlib.contextmanager
def _explained(label: str) -> Iterator[None]:
    """Turn what onnxruntime raises into SessionError."""
    try:
        yield
    except Exception as error:  # onnxruntime's exceptions share no base of their own
        raise SessionError(*explain(label, error)) from error


def _to_value(array: Array) -> Foreign:
    ort = onnxruntime()
    contiguous = np.asarray(array, order="C")  # unlike ascontiguousarray it leaves a scalar its rank
    if array.dtype == ml_dtypes.bfloat16:
        return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(contiguous, onnx.TensorProto.BFLOAT16)
    return ort.OrtValue.ortvalue_from_numpy(contiguous)


def _is_short(array: Any) -> bool:
    """Whether it is bfloat16, which `InferenceSession.run` cannot convert from NumPy."""
    return isinstance(array, np.ndarray) and array.dtype == ml_dtypes.bfloat16


def _to_array(value: Foreign) -> Array:
    if value.data_type() != "tensor(bfloat16)":
        return np.asarray(value.numpy())
    array = np.zeros(tuple(value.shape()), ml_dtypes.bfloat16)
    ctypes.memmove(array.ctypes.data, value.data_ptr(), array.nbytes)
    return array


def _uncaptured(session: Session) -> tuple[tuple[str, str], ...]:
    """Settings of a run whose inputs or outputs have no fixed place; none where there are no CUDA graphs.

    A graph reads and writes the addresses that it was recorded with, whatever is bound later.
    """
    return (UNCAPTURED,) if session.cuda_graph else ()


def _bind_room(session: Session, binding: Foreign) -> dict[str, tuple[Foreign, np.dtype[Any]]]:
    """Run once, and bind each output that turns out a tensor of numbers to memory for just that; see `Bound.room`.

    Nothing is bound when the run fails: the call will say why.
    """
    if any(spec.dtype.startswith("optional") for spec in session.outputs):
        return {}  # onnxruntime 1.31 crashes when it is asked for its outputs and one of these holds nothing
    types = {spec.name: number_type(spec) for spec in session.outputs}
    try:
        with run_options(_uncaptured(session)) as how:
            session.ort.run_with_iobinding(binding, how)
        found = zip(types.items(), binding.get_outputs(), strict=True)
        shapes = {name: (value.shape(), dtype) for (name, dtype), value in found if dtype is not None}
        room = {
            name: (_room(shape, dtype, session.provider), dtype)
            for name, (shape, dtype) in shapes.items()
            if 0 not in shape
        }
    except Exception:
        return {}
    for name, (value, dtype) in room.items():
        element = onnx.TensorProto.BFLOAT16 if dtype == ml_dtypes.bfloat16 else dtype.type
        binding.bind_output(name, session.provider, 0, element, value.shape(), value.data_ptr())
    return room


def _room(shape: Sequence[int], dtype: np.dtype[Any], device: Provider) -> Foreign:
    """Memory for a tensor; bfloat16, of which NumPy has none, lies in what is called uint16."""
    held = np.dtype(np.uint16) if dtype == ml_dtypes.bfloat16 else dtype
    return onnxruntime().OrtValue.ortvalue_from_shape_and_type(shape, held.type, device, 0)
