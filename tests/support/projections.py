"""Tasks for methods that project weights."""

from projectable import correlated

from scission.ir.io.load import load
from scission.runtime.decompose.task.goal import parse_goal
from scission.runtime.decompose.task.method import DecomposeTask
from scission.runtime.decompose.task.samples import Samples
from scission.runtime.ort.trials import Trials


def task(proto, given=None, trials=None):
    samples = Samples(feeds=given or correlated(proto.graph.input[0].type.tensor_type.shape.dim[-1].dim_value))
    return DecomposeTask(
        model=load(proto),
        calibration=samples,
        selection=samples,
        goal=parse_goal("cosine<=0.01"),
        trials=trials or Trials(provider="cpu", threads=1),
    )
