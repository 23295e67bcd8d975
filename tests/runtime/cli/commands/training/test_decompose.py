import json

import numpy as np
import onnx
import pytest
from proposals import wide

FAST = "--provider cpu --threads 1 --seconds 0.3 --only removal"


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A network in which few of many hidden units do nearly everything, and samples for it."""
    monkeypatch.chdir(tmp_path)
    onnx.save(wide(1024, used=32), tmp_path / "wide.onnx")
    x = np.random.default_rng(1).standard_normal((600, 48)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x)
    return tmp_path


def test_a_smaller_model_is_written_with_a_table_of_the_front(files, scission_cli):
    status, out, _ = scission_cli(f"decompose wide.onnx --data data.npz --target 1.3x {FAST} -o out.onnx")
    assert status == 0 and "removal" in out and "kept" in out and "units" in out
    sizes = [(files / name).stat().st_size for name in ("out.onnx", "wide.onnx")]
    assert sizes[0] < 0.9 * sizes[1]
    onnx.checker.check_model(str(files / "out.onnx"))
    status, _, err = scission_cli(f"decompose wide.onnx --data data.npz --target 1.3x {FAST} -o out.onnx")
    assert status == 2 and "--overwrite" in err


def test_what_is_fast_enough_learns_from_the_original(files, scission_cli):
    pytest.importorskip("torch")
    line = f"decompose wide.onnx --data data.npz --target 1.3x --train 30 {FAST}"
    status, out, _ = scission_cli(f"{line} --all")
    assert status == 0 and "removal, trained" in " ".join(out.split())
    status, out, _ = scission_cli(f"{line} --json --checkpoint going.on")
    told = json.loads(out)["tried"]
    assert status == 0 and [one["learning"] is None for one in told] == [True] * (len(told) - 1) + [False]
    assert not (files / "going.on").exists()


def test_json_tells_every_candidate(files, scission_cli):
    line = f"decompose wide.onnx --data data.npz --budget cosine<=0.5 --target 1.2x {FAST} --json"
    status, out, _ = scission_cli(line)
    told = json.loads(out)
    assert status == 0 and told["metric"] == "cosine" and told["tried"][told["chosen"]]["method"] == "removal"
    assert told["judged"]["holds"] and set(told["front"]) <= set(range(len(told["tried"])))


def test_the_picture_is_drawn_whatever_is_kept(files, scission_cli):
    pytest.importorskip("matplotlib")
    line = f"decompose wide.onnx --data data.npz --target 900x {FAST} --plot front.png --plot front.svg"
    assert scission_cli(line)[0] == 1
    assert (files / "front.png").read_bytes().startswith(b"\x89PNG") and "<svg" in (files / "front.svg").read_text()
    status, _, err = scission_cli(line)
    assert status == 2 and "--overwrite" in err
    status, _, err = scission_cli(line.replace("front.png", "wide.onnx"))
    assert status == 2 and "wide.onnx" in err


def test_a_refusal_has_its_reason_and_status_1(files, scission_cli):
    status, out, err = scission_cli(
        f"decompose wide.onnx --data data.npz --budget cosine<=0.5 --target 900x {FAST} -o o.onnx"
    )
    assert status == 1 and "nothing is kept" in out and "900x was asked for" in " ".join(out.split())
    assert "no model was written" in err and not (files / "o.onnx").exists()


def test_what_cannot_be_meant_is_status_2(files, scission_cli):
    for words, said in (
        ("", "--budget, --target or both"),
        ("--target 0.5x", "--target is a speed-up above 1"),
        ("--budget cosine<=0.1 --metric argmax", "--budget is about cosine"),
        ("--budget cosine<=0.1 --checkpoint x", "--checkpoint is about training; say for how many steps with --train"),
        ("--budget cosine<=0.1 --rate 0.1", "--rate is about training; say for how many steps with --train"),
        ("--budget cosine<=0.1 --train 5", "--train is about what is fast enough; say how fast that is with --target"),
    ):
        status, _, err = scission_cli(f"decompose wide.onnx --data data.npz {words} {FAST}")
        assert status == 2 and said in err
    np.savez(files / "few.npz", x=np.zeros((2, 48), np.float32))
    status, _, err = scission_cli(f"decompose wide.onnx --data few.npz --target 2x {FAST}")
    assert status == 2 and err.startswith("error: ")
