import sys
import types

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from scission.torch import StructureMonitor, lightning_callback, trainer_callback  # noqa: E402


class State:
    def __init__(self, global_step=0):
        self.global_step = global_step


def test_the_handler_of_transformers_tells_it_of_every_step():
    trainer = pytest.importorskip("transformers.trainer_callback")
    monitor = StructureMonitor(nn.Linear(3, 2), every=2, evidence="off")
    callback = trainer_callback(monitor)
    assert isinstance(callback, trainer.TrainerCallback)
    state, control = trainer.TrainerState(), trainer.TrainerControl()
    for step in range(1, 5):
        state.global_step = step
        callback.on_step_begin(None, state, control)
        callback.on_step_end(None, state, control, model=None)
    callback.on_train_end(None, state, control)
    assert monitor.steps == 4


def test_lightning_tells_it_of_batches_of_which_some_are_steps(monkeypatch):
    library = types.ModuleType("lightning.pytorch")
    library.Callback = type("Callback", (), {"on_fit_end": lambda *_: None, "setup": lambda *_: None})
    monkeypatch.setitem(sys.modules, "lightning.pytorch", library)
    seen = []
    monitor = StructureMonitor(nn.Linear(3, 2), every=1, evidence="off")
    monitor.look = lambda: seen.append(monitor.steps)
    callback = lightning_callback(monitor)
    assert isinstance(callback, library.Callback)
    for step in (0, 1, 1, 2):  # the second of two batches whose gradients are added up is a step
        callback.on_train_batch_end(State(step), None, None, None, 0)
    assert seen == [1, 2] and callback.state_dict()["steps"] == 2
    callback.load_state_dict({"steps": 1, "initial": {}})
    assert monitor.steps == 1
    callback.on_fit_end(None, None)


def test_without_any_library_every_event_is_answered(monkeypatch):
    for name in ("lightning.pytorch", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    callback = lightning_callback(StructureMonitor(nn.Linear(3, 2), evidence="off"))
    assert callback.on_validation_start(None, None) is None
    with pytest.raises(AttributeError):
        callback.__wrapped__  # noqa: B018 - the access is the test
