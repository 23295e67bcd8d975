"""A GPU that is none: sessions that say they are on CUDA compute on the CPU, and time passes as a table says."""

from __future__ import annotations

from types import SimpleNamespace

import onnx
from reference import graphs_of

from scission.ir.provenance import ORIGIN
from scission.runtime.measure import race
from scission.runtime.measure.clock import Clock
from scission.runtime.ort import library, session
from scission.runtime.ort.library import onnxruntime

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
NONE = lambda node: False  # noqa: E731
PLAIN, RECORDED = 5e-6, 1e-6  # seconds of a launch


def origin_of(node: onnx.NodeProto) -> str:
    """The operator that a node was put in for, else its own name."""
    return next((note.value for note in node.metadata_props if note.key == ORIGIN), node.name)


class SimulatedCuda:
    """seconds: what a node takes beyond its launch; unrecordable: whether a CUDA graph cannot have it; breaks: whether
    a model in which it is cannot be run. `opened` keeps whether each session was to be recorded; `now` is the time."""

    def __init__(self, monkeypatch, seconds=lambda node: 0.0, unrecordable=NONE, breaks=NONE):
        self.seconds, self.unrecordable, self.breaks = seconds, unrecordable, breaks
        self.opened: list[bool] = []
        self.now = 0.0
        self.real = onnxruntime().InferenceSession
        clock = Clock(name="wall", read=lambda: self.now, limit=lambda: self.now)
        room = session._room
        monkeypatch.setattr(library, "cuda_problem", lambda: None)
        monkeypatch.setattr(onnxruntime(), "InferenceSession", self.open)
        monkeypatch.setattr(session, "_room", lambda shape, dtype, device: room(shape, dtype, "cpu"))
        monkeypatch.setattr(race, "clock_for", lambda *_: clock)

    def open(self, model, options, providers, **more):
        settings = next((one[1] for one in providers if isinstance(one, tuple) and one[0] == CUDA), None)
        opened = self.real(model, options, providers=[CPU], **more)
        if settings is None:
            return opened
        self.opened.append(settings["enable_cuda_graph"] == "1")
        return OnCuda(self, opened, model, recorded=self.opened[-1])


class OnCuda:
    """An InferenceSession on a simulated GPU."""

    def __init__(self, gpu, opened, model, *, recorded):
        proto = onnx.load_from_string(model) if isinstance(model, bytes) else onnx.load(model, load_external_data=False)
        nodes = [node for graph in graphs_of(proto) for node in graph.node]
        launch = RECORDED if recorded else PLAIN
        self.gpu, self.opened, self.recorded = gpu, opened, recorded
        self.takes = sum(launch + gpu.seconds(node) for node in nodes)
        self.refused = next((node for node in nodes if gpu.unrecordable(node)), None) if recorded else None
        self.broken = next((node for node in nodes if gpu.breaks(node)), None)

    def __getattr__(self, name):
        return getattr(self.opened, name)

    def get_providers(self):
        return [CUDA, CPU]

    def get_provider_graph_assignment_info(self):
        parts = self.opened.get_provider_graph_assignment_info()
        return [SimpleNamespace(ep_name=CUDA, get_nodes=part.get_nodes) for part in parts]

    def run(self, *given):
        self.launched(None)
        return self.opened.run(*given)

    def io_binding(self):
        return OnCudaBinding(self.opened.io_binding())

    def run_with_iobinding(self, binding, how=None):
        self.launched(how)
        self.opened.run_with_iobinding(binding.real, how)

    def launched(self, how):
        """Let time pass; how: given where nothing is to be recorded. Raises what a real session does."""
        if self.broken is not None:
            raise RuntimeError(f"Non-zero status code returned while running {self.broken.op_type} node")
        if how is None and self.refused is not None:
            raise RuntimeError(f"operation not permitted when stream is capturing, at {self.refused.op_type}")
        self.gpu.now += self.takes


class OnCudaBinding:
    """Inputs and outputs whose memory is the host's."""

    def __init__(self, real):
        self.real = real

    def __getattr__(self, name):
        return getattr(self.real, name)

    def bind_output(self, name, device="cpu", *more):
        assert device == "cuda"
        self.real.bind_output(name, "cpu", *more)
