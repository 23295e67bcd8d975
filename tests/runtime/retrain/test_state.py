import pytest

torch = pytest.importorskip("torch")

from retrain_runs import finished, killed_and_begun_again, run, write_run  # noqa: E402

from scission import RetrainError  # noqa: E402
from scission.runtime.retrain.state import LookBack, State, read_state, write_state  # noqa: E402


def test_a_run_that_is_killed_ends_with_the_same_bits(tmp_path):
    write_run(tmp_path)
    finished(run(tmp_path, "whole.onnx"))
    assert killed_and_begun_again(tmp_path, "killed.onnx", kills=2) >= 1
    assert (tmp_path / "whole.onnx").read_bytes() == (tmp_path / "killed.onnx").read_bytes()
    left = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
    assert left == {"model.onnx", "data.npz", "whole.onnx", "killed.onnx"}, "checkpoints are gone"


def state(**changed):
    weights = {"w": torch.tensor([1.0, -0.0, 1e-40])}
    held = {"run": "a", "step": 3, "weights": weights, "optimiser": {"state": {}}, "best": weights}
    return State(**{**held, "looks": [LookBack(0, 2.0, None, None), LookBack(3, 1.5, 0.5, 1.75)], **changed})


def test_a_state_is_read_back_as_it_was(tmp_path):
    path = tmp_path / "run.checkpoint"
    assert read_state(path, "a") is None
    for step in (3, 6):
        write_state(path, state(step=step))
        found = read_state(path, "a")
        assert (found.step, found.looks, found.optimiser) == (step, state().looks, {"state": {}})
        assert found.weights["w"].numpy().tobytes() == state().weights["w"].numpy().tobytes()


def test_the_best_look_is_the_first_of_the_smallest_loss():
    looks = [LookBack(step, loss, None, None) for step, loss in ((0, 3.0), (5, 1.0), (10, 1.0), (15, 2.0))]
    assert state(looks=looks).best_look.step == 5 and state(looks=looks).stale == 2


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 cut off"])
def test_what_is_no_checkpoint_is_refused_and_stays(tmp_path, content):
    path = tmp_path / "run.checkpoint"
    path.write_bytes(content)
    with pytest.raises(RetrainError, match="is no checkpoint of training"):
        read_state(path, "a")
    assert path.read_bytes() == content


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    write_state(tmp_path / "run.checkpoint", state())
    with pytest.raises(RetrainError, match="other data, weights or options"):
        read_state(tmp_path / "run.checkpoint", "b")
