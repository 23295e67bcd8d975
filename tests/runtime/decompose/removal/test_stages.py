import numpy as np
from perturbed import run
from prunable import feeds, residual

from scission.ir.io.load import load
from scission.passes.rewrite.pruning.put_weights import put_weights
from scission.runtime.decompose.removal.stages import Stages
from scission.runtime.ort.trials import Trials

CPU = Trials(provider="cpu", threads=1)


def exposed(proto, name):
    copy = type(proto)()
    copy.CopyFrom(proto)
    copy.graph.output.add().CopyFrom(type(copy.graph.output[0])(name=name))
    return copy


def test_values_are_those_of_the_whole_model_and_no_node_runs_twice():
    proto, given = residual(), feeds(4)
    model = load(proto)
    stages = Stages(model, given, CPU)
    for name in ("a3", "h1", "u3", "d1"):
        for feed, values in zip(given, stages.run(model.graph, [name]), strict=True):
            wanted = run(exposed(proto, name), feed)[-1]
            np.testing.assert_allclose(values[name], wanted, rtol=1e-5, atol=1e-6)
    assert stages.run(model.graph, ["d1"])[0].keys() == {"d1"}


def test_a_later_stage_runs_with_the_weights_that_it_is_given():
    proto, given = residual(), feeds(2)
    model = load(proto)
    stages = Stages(model, given, CPU)
    stages.run(model.graph, ["u3"])
    weight = next(one for one in model.graph.graph if one.name == "down").inputs[1].const_value.numpy()
    changed = put_weights(model.graph, {"down": (2 * weight, np.zeros(weight.shape[1]))})
    found = stages.run(changed, ["d1"])
    for feed, values in zip(given, found, strict=True):
        np.testing.assert_allclose(values["d1"], 2 * run(exposed(proto, "d1"), feed)[-1], rtol=1e-5, atol=1e-5)


def test_only_what_is_still_read_is_held():
    model = load(residual())
    stages = Stages(model, feeds(1), CPU)
    stages.run(model.graph, ["u3"])
    assert set(stages._held[0]) == {"u3", "h1"}
