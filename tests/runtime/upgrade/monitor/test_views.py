"""Where looks are shown."""

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from scission.ir.errors import ScissionError  # noqa: E402
from scission.ir.findings.formation import Look  # noqa: E402
from scission.torch import LiveView, StructureMonitor, TensorBoardView  # noqa: E402


def test_tensorboard_gets_scalars_of_every_weight_and_relation():
    class Writer:
        def __init__(self):
            self.scalars = {}

        def add_scalar(self, tag, value, step):
            self.scalars[tag, step] = value

    writer = Writer()
    monitor = StructureMonitor(nn.Linear(3, 3), evidence="off", to=[TensorBoardView(writer)])
    monitor.look()
    assert writer.scalars["weight/weight/components", 0] == 1 and writer.scalars["weight/change/dormant", 0] == 6
    assert writer.scalars["weight/weight/density", 0] == 1.0 and ("weight/weight/sccs", 0) in writer.scalars


def test_a_folder_for_tensorboard_needs_its_package(tmp_path):
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        with pytest.raises(ScissionError, match="pip install tensorboard"):
            TensorBoardView(tmp_path)


def test_a_live_view_shows_the_last_look(capsys):
    with LiveView() as live:
        StructureMonitor(nn.Linear(3, 2), evidence="off", to=[live]).look()
        live.show(Look(step=7, seconds=0.0, took=0.0, weights=()))
    assert "step 7" in capsys.readouterr().out
