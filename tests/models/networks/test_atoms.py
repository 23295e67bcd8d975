import numpy as np
import onnx
import oracles

from scission.models.networks.atoms import atoms


def test_every_member_has_a_network_for_every_slice():
    model = atoms(np.random.default_rng(0), members=3, kinds=2, widths=(4, 5, 1))
    onnx.checker.check_model(model)
    assert sum(node.op_type == "Gemm" for node in model.graph.node) == 3 * 2 * 2
    (energy,) = oracles.run(model, {"x": np.ones((5, 8), np.float32)})
    assert energy.shape == (5, 1)
