"""The test of whole blocks beside a training run."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from planted_torch import keep  # noqa: E402
from torch import nn  # noqa: E402

from scission.runtime.upgrade.monitor.evidence import SpareTime, initial_null  # noqa: E402
from scission.torch import StructureMonitor  # noqa: E402


def test_the_test_of_blocks_sees_through_noise_what_edges_do_not():
    torch.manual_seed(0)
    layer = nn.Linear(128, 128, bias=False)
    monitor = StructureMonitor(layer, evidence="each")
    owner = np.arange(128) % 2
    grown = torch.randn(128, 128) * 0.15
    keep(grown, owner, owner)
    with torch.no_grad():
        layer.weight += grown + 1e-4 * torch.randn(128, 128)  # an optimiser that moves every entry
    seen = monitor.look().weights[0]
    assert seen.change.components == 1 and seen.change.signs.blocks == 2 and seen.change.signs.accepted
    assert seen.weight.signs.blocks == 2 and seen.weight.signs.step == 0


def test_spare_time_is_a_share_of_the_run(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("scission.runtime.upgrade.monitor.evidence.time.monotonic", lambda: clock[0])
    spare = SpareTime(0.01)
    assert not spare.affords(10**6), "a run that only began has none"
    clock[0] = 300.0
    assert spare.affords(10**6)

    def job():
        clock[0] += 4.0

    spare.run(job, 10**6)
    spare.wait()
    assert not spare.busy and not spare.affords(10**6), "those four seconds were all of it"
    clock[0] = 900.0
    assert spare.affords(10**6)


def test_evidence_comes_in_spare_time(monkeypatch):
    monkeypatch.setattr(SpareTime, "affords", lambda self, entries: not self.busy)
    layer = nn.Linear(24, 24)
    monitor = StructureMonitor(layer, evidence="spare")
    with torch.no_grad():
        layer.weight += torch.randn(24, 24)
    for _ in range(2):
        monitor.look()
        monitor.close()
    seen = monitor.look().weights[0]
    monitor.close()
    assert seen.weight.signs is not None and seen.change.signs is not None


def test_the_law_of_an_initial_weight():
    rng = np.random.default_rng(0)
    assert initial_null(rng.normal(0, 0.02, (64, 64))).family == "normal"
    assert initial_null(nn.Linear(64, 64).weight.detach().numpy()).family == "uniform"
    assert initial_null(np.zeros((4, 4))) is None
