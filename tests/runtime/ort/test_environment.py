import os

from scission.runtime.ort.environment import machine
from scission.runtime.ort.library import cuda_problem


def test_machine_tells_what_a_result_depends_on():
    facts = machine()
    assert {"cpu", "cores", "python", "numpy", "onnx", "onnxruntime", "provider", "gpu"} <= set(facts)
    assert facts["provider"] == ("cpu" if cuda_problem() else "cuda")
    assert machine("cpu")["provider"] == "cpu"
    assert facts["cores"] <= os.cpu_count()
