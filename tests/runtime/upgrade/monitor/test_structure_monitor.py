import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from planted_torch import keep, trained  # noqa: E402
from sklearn.metrics import adjusted_rand_score  # noqa: E402
from torch import nn  # noqa: E402

from scission.ir.errors import ScissionError  # noqa: E402
from scission.models.networks.cooccurrence import coupling, noisy  # noqa: E402
from scission.models.tables import load  # noqa: E402
from scission.torch import StructureMonitor, read_run, split  # noqa: E402


def test_blocks_are_found_at_the_first_look_at_which_they_exist(tmp_path):
    """The setting of Theorem 2.1: features that were active together so far are the components of what changed."""
    rng = np.random.default_rng(0)
    tables = load(rng, ["wine", "iris", "diabetes", "breast_cancer"])
    n = tables[0].X.shape[1]
    layer = nn.Linear(n, n, bias=False)
    step = torch.optim.SGD(layer.parameters(), lr=0.02)
    monitor = StructureMonitor(layer, tmp_path / "run.jsonl", every=1, evidence="off")
    rows, truth = [], []
    for _ in range(40):
        table = tables[rng.integers(len(tables))]
        rows.append(table.X[rng.integers(len(table.X))])
        target = torch.from_numpy(rows[-1][None])
        error = (layer(torch.from_numpy(noisy(rng, rows[-1][None]))) - target) * (target != 0)
        step.zero_grad()
        (error.square().sum() / 2).backward()
        step.step()
        monitor.step()
        active = np.array(rows) != 0
        truth.append(np.where(active.any(0), coupling(active), -1 - np.arange(n)))
    run = read_run(tmp_path / "run.jsonl")
    assert run.looks[-1].weights[0].change.components == 4
    for labels, classes in zip(run.labels("weight"), truth, strict=True):
        found = [np.where(one < 0, -1 - np.arange(n), one) for one in labels]
        assert adjusted_rand_score(classes, found[0]) == adjusted_rand_score(classes, found[1]) == 1.0


class Kept:
    def __init__(self):
        self.looks = []

    def show(self, look):
        self.looks.append(look)


def test_it_looks_every_so_many_steps_even_where_some_are_passed_over():
    layer, kept = nn.Linear(3, 2), Kept()
    monitor = StructureMonitor(layer, every=10, evidence="off", to=[kept])
    trained(monitor, 25, layer)
    assert [look.step for look in kept.looks] == [10, 20]
    assert monitor.step(41) is not None and monitor.step(49) is None and monitor.step(50) is not None
    assert kept.looks[-1].weights[0].change.edges == 1


def test_what_is_watched():
    module = nn.ModuleDict(
        {
            "table": nn.Embedding(5, 4),
            "cell": nn.GRU(4, 3),
            "norm": nn.LayerNorm(4),
            "one": nn.Linear(4, 1),
            "up": nn.Linear(4, 6),
        }
    )
    monitor = StructureMonitor(module, evidence="off")
    assert sorted(monitor.weights) == ["cell.weight_hh_l0", "cell.weight_ih_l0", "up.weight"]
    with pytest.raises(ScissionError, match="two dimensions"):
        StructureMonitor(nn.LayerNorm(3))


def test_initial_weights_may_be_given_or_not_be_known():
    layer = nn.Linear(3, 2)
    then = {"weight": layer.weight.detach() - 1}
    assert StructureMonitor(layer, initial=then, evidence="off").look().weights[0].change.edges == 6
    unknown = StructureMonitor(layer, initial=False, evidence="off").look().weights[0]
    assert unknown.change is None and unknown.subject is unknown.weight and unknown.inputs == "0x3"
    with pytest.raises(ScissionError, match=r"weight: there is no initial weight of shape \(2, 3\)"):
        StructureMonitor(layer, initial={"weight": torch.zeros(3, 3)})


@pytest.mark.parametrize(
    ("options", "said"), [({"every": 0}, "every=100"), ({"evidence": "often"}, "off, spare, each")]
)
def test_nonsense_is_refused(options, said):
    with pytest.raises(ScissionError, match=said):
        StructureMonitor(nn.Linear(3, 2), **options)


def test_training_is_the_same_to_the_bit_whether_it_is_watched_or_not():
    def weights(watched):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))
        step = torch.optim.Adam(net.parameters())
        monitor = StructureMonitor(net, every=2, evidence="each") if watched else None
        for _ in range(6):
            step.zero_grad()
            net(torch.randn(8, 16)).square().sum().backward()
            step.step()
            if monitor is not None:
                monitor.step()
        return torch.cat([p.detach().reshape(-1) for p in net.parameters()])

    assert torch.equal(weights(True), weights(False))


def test_parameters_that_take_the_place_of_others_are_followed():
    layer = nn.Linear(4, 4)
    module = nn.Sequential(layer, nn.Linear(4, 4))
    keep(layer.weight, np.arange(4) % 2, np.arange(4) % 2)
    monitor = StructureMonitor(module, every=1, evidence="off")
    module[1].weight = nn.Parameter(module[1].weight.detach() + 1)
    assert [one.change.edges for one in monitor.step().weights] == [0, 16]
    module.load_state_dict({name: one + 1 for name, one in module.state_dict().items()}, assign=True)
    assert [one.change.edges for one in monitor.step().weights] == [16, 16]
    keep(layer.weight, np.arange(4) % 2, np.arange(4) % 2)
    split(module)
    with torch.no_grad():
        module[0].blocks[0].zero_()
    assert [one.weight.edges for one in monitor.step().weights] == [0, 16], "blocks are looked at as what they make up"


@pytest.mark.parametrize(
    "change",
    [
        lambda net: net.__setitem__(0, nn.Identity()),
        lambda net: setattr(net[0], "weight", nn.Parameter(torch.zeros(3, 3))),
        lambda net: net[0].to(torch.complex64),
        lambda net: net[0].to("meta"),
    ],
)
@pytest.mark.filterwarnings("ignore:Complex modules")
def test_a_weight_that_is_gone_is_noticed(change):
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    monitor = StructureMonitor(net, every=1)
    change(net)
    with pytest.raises(ScissionError, match=r"^0\.weight: "):
        monitor.step()


def retyped(kind, trains=True):
    layer = nn.Linear(4, 4)
    layer.weight.data = layer.weight.data.to(kind)
    return layer.requires_grad_(trains)


def test_what_has_no_numbers_to_look_at_is_refused():
    for kind in (torch.complex64, torch.float8_e4m3fn):
        with pytest.raises(ScissionError, match=f"^weight: is {kind}"):
            StructureMonitor(retyped(kind))
    quantised = nn.Linear(4, 4)
    quantised.weight = nn.Parameter(torch.zeros(4, 4, dtype=torch.int8), requires_grad=False)
    assert list(StructureMonitor(nn.Sequential(quantised, nn.Linear(4, 4))).weights) == ["1.weight"]
    with pytest.raises(ScissionError, match=r"^weight: is on the device 'meta'"):
        StructureMonitor(nn.Linear(4, 4, device="meta"))
    with pytest.raises(ScissionError, match=r"^weight: has no shape yet"):
        StructureMonitor(nn.LazyLinear(4))
    with pytest.raises(ScissionError, match="not a int"):
        StructureMonitor(3)


@pytest.mark.parametrize("initial", [True, 3, {"weight": 3}, {}, {"weight": torch.zeros(2, 3, device="meta")}])
def test_initial_weights_that_are_none_are_refused(initial):
    with pytest.raises(ScissionError, match=r"^weight: "):
        StructureMonitor(nn.Linear(3, 2), initial=initial)


@pytest.mark.parametrize("state", [{}, 3, {"steps": "a", "initial": {}}, {"steps": 3, "initial": {"weight": 3}}])
def test_a_state_that_is_none_is_refused_and_nothing_is_changed(state):
    monitor = StructureMonitor(nn.Linear(3, 2), every=1)
    before = monitor.state_dict()
    with pytest.raises(ScissionError):
        monitor.load_state_dict(state)
    assert monitor.state_dict()["steps"] == before["steps"] and monitor.look().weights[0].change.edges == 0


def test_the_example_finds_the_five_data_sets_and_draws_them(tmp_path):
    pytest.importorskip("matplotlib")
    example = Path(__file__).parents[4] / "examples" / "formation.py"
    done = subprocess.run([sys.executable, example, tmp_path], capture_output=True, text=True, check=True)
    assert "5 blocks, 6 features dormant" in done.stdout.splitlines()[-2]
    assert (tmp_path / "formation.svg").read_bytes().startswith(b"<?xml")
