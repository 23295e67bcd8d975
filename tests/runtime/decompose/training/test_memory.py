from dataclasses import replace

import numpy as np
import pytest
from proposals import wide

from scission import NoMemoryError, Samples, Trials
from scission.ir.io.load import load
from scission.runtime.decompose.decompose import decompose
from scission.runtime.decompose.task.goal import parse_goal
from scission.runtime.decompose.task.method import DecomposeTask
from scission.runtime.decompose.training.memory import learning_bytes, require_learning_memory


def test_training_is_estimated_before_it_begins():
    pytest.importorskip("torch")
    proto = wide(1024)
    data = {"x": np.zeros((100, 48), np.float32)}
    samples = Samples(feeds=[data] * 4)
    trials = Trials(provider="cpu", threads=1)
    task = DecomposeTask(
        model=load(proto), calibration=samples, selection=samples, goal=parse_goal(target=2), trials=trials
    )
    needed = learning_bytes(task)
    assert needed >= 4 * 4 * 2 * 48 * 1024, "weights, gradients and two moments"
    require_learning_memory(replace(task, trials=replace(trials, memory=needed)))
    with pytest.raises(NoMemoryError, match=r"training needs 2.* may be used; leave train=… out"):
        require_learning_memory(replace(task, trials=replace(trials, memory=needed - 1)))
    with pytest.raises(NoMemoryError, match="training needs"):
        decompose(proto, data, target=2, train=5, trials=replace(trials, memory=needed - 1))
