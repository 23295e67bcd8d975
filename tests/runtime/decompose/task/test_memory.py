import pytest
from proposals import wide

from scission import NoMemoryError, Samples, Trials
from scission.ir.errors import option
from scission.ir.io.load import load
from scission.runtime.decompose.task.goal import parse_goal
from scission.runtime.decompose.task.memory import require_bytes
from scission.runtime.decompose.task.method import DecomposeTask


def test_what_is_more_than_may_be_used_is_refused_with_what_else_can_be_done():
    model, none, goal = load(wide(16)), Samples(feeds=[{}]), parse_goal(target=2)
    trials = Trials(memory=1 << 20)
    task = DecomposeTask(model=model, calibration=none, selection=none, goal=goal, trials=trials)
    require_bytes(task, 1 << 20, "fitting needs")
    with pytest.raises(NoMemoryError) as told:
        require_bytes(task, (1 << 20) + 1, "fitting needs", "leave ", option("train"), " out, or ")
    assert " fitting needs " in str(told.value)
    assert str(told.value).endswith(" may be used; leave train=… out, or allow more with memory=…")
