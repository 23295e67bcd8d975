import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from planted_torch import keep  # noqa: E402
from sklearn.metrics import adjusted_rand_score  # noqa: E402
from torch import nn  # noqa: E402

from scission.ir.errors import ScissionError  # noqa: E402
from scission.ir.findings.formation import Look, RunError  # noqa: E402
from scission.models.networks.cooccurrence import coupling, noisy  # noqa: E402
from scission.models.tables import load  # noqa: E402
from scission.passes.connectivity.bipartite import components  # noqa: E402
from scission.runtime.upgrade.monitor.evidence import SpareTime, initial_null  # noqa: E402
from scission.runtime.upgrade.monitor.looking import look_at  # noqa: E402
from scission.torch import LiveView, StructureMonitor, TensorBoardView, read_run, split  # noqa: E402


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from(["float32", "float64", "float16", "bfloat16"]),
    st.integers(0, 99),
)
def test_a_look_sees_what_entries_changed_and_what_they_tie(N, K, kind, seed):
    rng = np.random.default_rng(seed)
    then = torch.from_numpy(rng.normal(size=(N, K)) * (rng.random((N, K)) < 0.7)).to(getattr(torch, kind))
    moved = rng.random((N, K)) < rng.choice([0.05, 0.3, 0.9])
    now = torch.where(torch.from_numpy(moved), then * 2 + 1, then)
    if moved.any() and seed % 3 == 0:
        now[tuple(np.argwhere(moved)[0])] = float("nan")
    differs = np.array(
        [[bool(a != b) for a, b in zip(*rows, strict=True)] for rows in zip(now.double(), then.double(), strict=True)]
    )
    seen = look_at("w", now, then)
    found = components(differs.T)
    assert seen.shape == (K, N) and seen.change.edges == differs.sum()
    assert (seen.change.components, seen.change.dormant) == (found.count, found.dormant)
    assert seen.weight.edges == int((now != 0).sum())
    if N == K:
        import networkx as nx

        graph = nx.DiGraph([(int(j), int(i)) for i, j in np.argwhere(differs)])
        graph.add_nodes_from(range(N))
        assert seen.change.sccs == (None if not differs.any() else nx.number_strongly_connected_components(graph))
    else:
        assert seen.change.sccs is None and seen.change.layers is None


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


def trained(monitor, steps, layer):
    for _ in range(steps):
        with torch.no_grad():
            layer.weight[0, 0] += 1
        monitor.step()


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


def test_a_log_goes_on_where_a_run_resumes(tmp_path):
    torch.manual_seed(0)
    log, layer = tmp_path / "run.jsonl", nn.Linear(4, 3)
    first = StructureMonitor(layer, log, every=2, evidence="off")
    trained(first, 5, layer)
    state, weights = first.state_dict(), {name: p.clone() for name, p in layer.state_dict().items()}
    trained(first, 6, layer)
    with log.open("a") as file:
        file.write('{"version":1,"step":12')  # a process that was killed while it wrote
    first.close()
    with pytest.raises(RunError, match="resume=True"):
        StructureMonitor(layer, log)
    assert [look.step for look in read_run(log).looks] == [2, 4, 6, 8, 10]
    layer.load_state_dict(weights)
    again = StructureMonitor(layer, log, every=2, evidence="off", resume=True)
    again.load_state_dict(state)
    trained(again, 3, layer)
    run = read_run(log)
    assert [look.step for look in run.looks] == [2, 4, 6, 8]
    assert run.looks[-1].weights[0].change.edges == 1, "the initial weight is that of before the first step"
    assert log.read_bytes().endswith(b"\n")


def test_a_log_of_something_else_is_refused_and_left_alone(tmp_path):
    log = tmp_path / "run.jsonl"
    log.write_text("not a log\n")
    with pytest.raises(RunError, match=r"run.jsonl:1: is no JSON"):
        StructureMonitor(nn.Linear(3, 2), log, resume=True)
    assert log.read_text() == "not a log\n"
    with pytest.raises(RunError, match="StructureMonitor wrote"):
        read_run(tmp_path / "nothing.jsonl")


def steps_of(log):
    return [look.step for look in read_run(log).looks]


def test_a_look_at_the_same_step_takes_the_place_of_the_one_before(tmp_path):
    log, layer = tmp_path / "run.jsonl", nn.Linear(4, 3)
    monitor = StructureMonitor(layer, log, every=1, evidence="off")
    trained(monitor, 2, layer)
    with torch.no_grad():
        layer.weight[1, 1] += 1
    monitor.look()
    monitor.look()
    run = read_run(log)
    assert [look.step for look in run.looks] == [1, 2] and run.looks[-1].weights[0].change.edges == 2
    assert run.labels("weight")[-1][0].tolist() == [0, 1, -1, -1], "components are told again where that was replaced"
    trained(monitor, 1, layer)
    assert steps_of(log) == [1, 2, 3]


@pytest.mark.parametrize("number", [4, -1, 5.5, 6.0, "6", True, None])
def test_steps_that_go_back_or_are_none_are_refused_and_the_log_stays_whole(number, tmp_path):
    log = tmp_path / "run.jsonl"
    monitor = StructureMonitor(nn.Linear(4, 3), log, every=1, evidence="off")
    monitor.step(5)
    if number is None:
        assert monitor.step(5) is None and monitor.step(np.int64(6)).step == 6 and monitor.step(torch.tensor(7))
        assert steps_of(log) == [5, 6, 7]
        return
    with pytest.raises(RunError, match=r"follows 5|no number of a step"):
        monitor.step(number)
    assert monitor.steps == 5 and steps_of(log) == [5] and monitor.step().step == 6


@pytest.mark.parametrize("tell", [None, 1, 2])
def test_a_run_that_begins_anew_leaves_the_looks_of_another_alone(tell, tmp_path):
    log, layer = tmp_path / "run.jsonl", nn.Linear(4, 3)
    with_looks(log, layer, [3, 4])
    before = log.read_bytes()
    monitor = StructureMonitor(layer, log, every=1, evidence="off", resume=True)
    with pytest.raises(RunError, match=r"has looks up to step 4, and this run is at step"):
        monitor.step(tell)
    with pytest.raises(RunError, match=r"has looks up to step 4"):
        monitor.look()
    assert log.read_bytes() == before


def with_looks(log, layer, steps):
    monitor = StructureMonitor(layer, log, every=1, evidence="off")
    for step in steps:
        monitor.step(step)
        monitor.look()
    monitor.close()


def test_a_run_that_is_told_where_it_goes_on_needs_no_state(tmp_path):
    log, layer = tmp_path / "run.jsonl", nn.Linear(4, 3)
    with_looks(log, layer, [0, 1, 2, 3, 4])
    monitor = StructureMonitor(layer, log, every=1, evidence="off", resume=True)
    assert steps_of(log) == [0, 1, 2, 3, 4]
    monitor.step(3)
    assert steps_of(log) == [0, 1, 2, 3]
    monitor.load_state_dict(monitor.state_dict() | {"steps": 1})
    monitor.step()
    run = read_run(log)
    assert [look.step for look in run.looks] == [0, 1, 2] and run.looks[-1].weights[0].inputs is not None


def test_one_monitor_at_a_time_writes_a_log(tmp_path):
    log, layer = tmp_path / "run.jsonl", nn.Linear(4, 3)
    first = StructureMonitor(layer, log, every=1, evidence="off")
    trained(first, 2, layer)
    for resume in (False, True):
        with pytest.raises(RunError, match="another monitor writes it"):
            StructureMonitor(layer, log, resume=resume)
    program = f"import torch; from scission.torch import *; StructureMonitor(torch.nn.Linear(3, 2), {str(log)!r})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "of several processes give a log to one" in done.stderr
    trained(first, 1, layer)
    first.close()
    second = StructureMonitor(layer, log, every=1, evidence="off", resume=True)
    second.load_state_dict(first.state_dict())
    trained(second, 1, layer)
    with pytest.raises(RunError, match="another monitor writes it"):
        first.look()
    second.close()
    with pytest.raises(RunError, match="has looks up to step 4"):
        first.look()
    assert steps_of(log) == [1, 2, 3, 4]


def test_a_log_that_was_closed_or_removed_goes_on(tmp_path):
    log, layer = tmp_path / "run.jsonl", nn.Linear(4, 3)
    monitor = StructureMonitor(layer, log, every=1, evidence="off")
    trained(monitor, 2, layer)
    monitor.close()
    trained(monitor, 1, layer)
    assert steps_of(log) == [1, 2, 3]
    log.unlink()
    trained(monitor, 1, layer)
    assert steps_of(log) == [4] and read_run(log).labels("weight")[0] is not None


def test_a_place_where_no_log_can_be_is_refused_at_once(tmp_path):
    with pytest.raises(RunError, match="its folder is not there"):
        StructureMonitor(nn.Linear(4, 3), tmp_path / "none" / "run.jsonl")
    with pytest.raises(RunError, match="directory"):
        StructureMonitor(nn.Linear(4, 3), tmp_path, resume=True)
    (tmp_path / "run.jsonl").touch()
    StructureMonitor(nn.Linear(4, 3), tmp_path / "run.jsonl", every=1).step()
    assert steps_of(tmp_path / "run.jsonl") == [1]


def test_a_log_without_room_is_whole_up_to_there(tmp_path, monkeypatch):
    log, layer, write = tmp_path / "run.jsonl", nn.Linear(4, 3), os.write
    monitor = StructureMonitor(layer, log, every=1, evidence="off")
    trained(monitor, 1, layer)
    monkeypatch.setattr("os.write", lambda handle, line: write(handle, line[:9]))
    with pytest.raises(RunError, match="no room"):
        monitor.step()
    monkeypatch.undo()
    monitor.step()
    assert steps_of(log) == [1, 3]


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


def test_lines_are_whole_whenever_the_process_is_killed(tmp_path):
    log = tmp_path / "run.jsonl"
    program = f"""
    import torch
    from scission.torch import StructureMonitor
    layer = torch.nn.Linear(64, 64)
    monitor = StructureMonitor(layer, {str(log)!r}, every=1, evidence="off")
    print("ready", flush=True)
    while True:
        with torch.no_grad():
            layer.weight[monitor.steps % 64, 7 * monitor.steps % 64] += 1
        monitor.step()
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        while not log.exists() or log.stat().st_size < 20_000:
            pass
        os.kill(process.pid, signal.SIGKILL)
    assert log.read_bytes().endswith(b"\n") and len(read_run(log).looks) > 10


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


def test_the_example_finds_the_five_data_sets_and_draws_them(tmp_path):
    pytest.importorskip("matplotlib")
    example = Path(__file__).parents[4] / "examples" / "formation.py"
    done = subprocess.run([sys.executable, example, tmp_path], capture_output=True, text=True, check=True)
    assert "5 blocks, 6 features dormant" in done.stdout.splitlines()[-2]
    assert (tmp_path / "formation.svg").read_bytes().startswith(b"<?xml")
