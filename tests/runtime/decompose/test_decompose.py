import json

import numpy as np
import pytest
from proposals import Fixed, narrowed, wide

from scission import LabelledError, OptionError, RetrainError
from scission.ir.provenance import DECOMPOSED
from scission.ir.reason import Cause, Reason
from scission.runtime.decompose.decompose import METHODS, decompose
from scission.runtime.decompose.options import NAMES, DecomposeOptions
from scission.runtime.decompose.task.method import Declined
from scission.runtime.decompose.task.samples import Samples, SampleSets
from scission.runtime.ort.trials import Trials

TRIALS = Trials(provider="cpu", threads=1, seconds=0.5)


@pytest.fixture(scope="module")
def case():
    """A network whose first 64 of 2,048 hidden units do nearly everything, and samples for it."""
    proto = wide(2048, used=64)
    x = np.random.default_rng(1).standard_normal((96, 48)).astype(np.float32)
    return proto, {"x": np.repeat(x, 8, 0)}


def test_the_fastest_within_the_budget_is_kept_and_judged_on_what_no_method_saw(case):
    proto, data = case
    method = Fixed([narrowed(proto, 1024), narrowed(proto, 64), narrowed(proto, 8), narrowed(proto, 4)])
    found = decompose(proto, data, methods=[method], budget="cosine<=0.01", trials=TRIALS)
    assert method.asked == 3  # one beyond the budget tells where it ends
    assert found.ok and found.chosen is found.tried[1] and found.reason is None
    assert found.judged.holds and found.judged.exceeded == found.judged.measured.drop - 0.01 < 0
    assert [one.drop <= 0.01 for one in found.tried] == [True, True, False]
    (task,) = method.tasks
    seen = sum(samples.count for samples in (task.calibration, task.selection))
    assert seen + found.judged.samples == len(data["x"])
    told = found.to_dict()
    assert told["chosen"] == 1 and told["tried"][1]["method"] == "removal" and told["judged"]["holds"]


def test_with_a_target_alone_the_least_loss_that_is_fast_enough(case):
    proto, data = case
    method = Fixed([narrowed(proto, 64), narrowed(proto, 8)])
    found = decompose(proto, data, methods=[method], target="1.5x", trials=TRIALS)
    assert method.asked == 1 and found.chosen is found.tried[0] and found.chosen.speedup >= 1.5
    assert found.judged.holds and found.judged.exceeded == 0


def test_what_is_fast_enough_is_trained_and_judged_like_any_candidate(case):
    pytest.importorskip("torch")
    proto, data = case
    method = Fixed([narrowed(proto, 32), narrowed(proto, 8)])
    asked = {"budget": "cosine<=0.5", "target": "1.5x", "train": 150, "rate": 1e-2}
    found = decompose(proto, data, methods=[method], trials=TRIALS, **asked)
    *before, after = found.tried
    assert method.asked == len(before) and before[-1].speedup >= 1.5
    assert [one.candidate.learning is None for one in before] == [True] * len(before)
    assert after.latency is before[-1].latency and after.drop < before[-1].drop
    assert found.chosen is after and found.ok
    told = found.to_dict()["tried"]
    assert told[-1]["learning"]["after"] < told[-1]["learning"]["before"] and told[0]["learning"] is None


def test_training_that_ended_early_goes_on_with_its_candidate_whichever_is_fast_now(case, tmp_path):
    pytest.importorskip("torch")
    proto, data = case
    asked = {"target": "1.5x", "train": 40, "checkpoint": tmp_path / "going.on", "trials": TRIALS}

    class EndedError(Exception):
        pass

    def progress(done, total, what):
        if what.startswith("held back") and done == 21:
            raise EndedError

    with pytest.raises(EndedError):
        decompose(proto, data, methods=[Fixed([narrowed(proto, 32)])], progress=progress, **asked)
    with pytest.raises(RetrainError, match="other data, weights or options"):
        decompose(proto, data, methods=[Fixed([narrowed(proto, 64)])], **asked)
    steps = []
    found = decompose(
        proto,
        data,
        methods=[Fixed([narrowed(proto, 64), narrowed(proto, 32)])],
        progress=lambda done, _, what: steps.append(done) if what.startswith("held back") else None,
        **asked,
    )
    assert steps[0] == 21 and [one.candidate.learning is None for one in found.tried] == [True, True, False]
    assert found.tried[-1].candidate.settings == {"place": 1} and not list(tmp_path.iterdir())


def test_training_needs_to_know_what_is_fast_enough(case):
    proto, data = case
    with pytest.raises(OptionError, match=r"train=… is about what is fast enough; say how fast that is with target="):
        decompose(proto, data, budget="cosine<=0.2", train=10, trials=TRIALS)


def test_a_budget_that_nothing_is_within_is_a_result(case):
    proto, data = case
    method = Fixed([narrowed(proto, 4)])
    declined = Declined(method="blocks", reason=Reason(Cause.UNSUPPORTED, "no torch"))
    found = decompose(proto, data, methods=[method, Fixed([declined])], budget="cosine<=0.01", trials=TRIALS)
    assert not found.ok and found.chosen is None and found.judged is None
    assert found.reason.cause is Cause.OVER_BUDGET and found.declined == (declined,)
    assert found.to_dict()["cause"] == "over_budget"


def test_the_same_seed_divides_the_same_samples(case):
    proto, data = case
    tasks = []
    for _ in range(2):
        method = Fixed([narrowed(proto, 64)])
        decompose(proto, data, methods=[method], target=1.1, trials=TRIALS)
        tasks += method.tasks
    one, other = ([feed["x"] for feed in task.selection.feeds] for task in tasks)
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_candidate_that_only_seems_to_be_fast_enough_does_not_end_the_search(case, monkeypatch):
    """What is chosen has to be clearly faster, so that the next one is asked for."""
    from types import SimpleNamespace

    from scission.runtime.decompose import trying
    from scission.runtime.measure.comparison import Comparison

    proto, data = case
    figures = iter(
        [Comparison(ratio=1.3, low=0.9, high=1.6, pairs=4), Comparison(ratio=1.6, low=1.5, high=1.7, pairs=4)]
    )
    monkeypatch.setattr(trying, "bench", lambda *a, **k: SimpleNamespace(comparison=next(figures)))
    method = Fixed([narrowed(proto, 1024), narrowed(proto, 64), narrowed(proto, 8)])
    found = decompose(proto, data, methods=[method], target=1.2, trials=TRIALS)
    assert method.asked == 2 and found.chosen is found.tried[1]


def test_what_is_kept_says_what_it_lacks_and_what_that_costs(case):
    proto, data = case
    found = decompose(proto, data, methods=[Fixed([narrowed(proto, 64)])], budget="cosine<=0.01", trials=TRIALS)
    note = json.loads(found.chosen.candidate.model.metadata_props[DECOMPOSED])
    assert note["method"] == "removal" and note["settings"] == {"place": 0} and note["removed"] == []
    assert note["asked"] == "cosine<=0.01" and note["metric"] == "cosine"
    assert note["judged"] == found.judged.to_dict() and note["judged"]["holds"]
    assert found.chosen is found.tried[0] and found.to_dict()["chosen"] == 0


def test_labels_beside_sets_that_have_theirs_are_refused(case):
    proto, data = case
    some = Samples(feeds=[{"x": data["x"][:8]}])
    sets = SampleSets(calibration=some, selection=some, judgement=some)
    with pytest.raises(LabelledError, match=r"the three sets have labels of their own; leave .*labels.* out"):
        decompose(proto, sets, labels=np.zeros(8), budget="cosine<=0.01", trials=TRIALS)


def test_one_method_alone_is_asked_where_it_is_named(case):
    proto, data = case
    methods = [Fixed([narrowed(proto, 64)]), Fixed([narrowed(proto, 64)], name="blocks")]
    found = decompose(proto, data, methods=methods, target=1.1, only="blocks", trials=TRIALS)
    assert [method.asked for method in methods] == [0, 1] and found.chosen.candidate.method == "blocks"
    assert tuple(method.name for method in METHODS) == NAMES
    with pytest.raises(OptionError, match="only 'anything' is none of removal, projection, experts, blocks"):
        DecomposeOptions(target=2.0, only="anything")


def test_methods_do_not_see_what_is_held_back_from_training(case):
    pytest.importorskip("torch")
    proto, data = case
    method = Fixed([narrowed(proto, 32)])
    decompose(proto, data, methods=[method], target="1.5x", train=1, trials=TRIALS)
    (task,) = method.tasks
    fitted, held = ({id(feed) for feed in part.feeds} for part in (task.calibration, task.held_back))
    assert (
        fitted
        and held
        and not fitted & held
        and not any(
            np.array_equal(one["x"], other["x"]) for one in task.held_back.feeds for other in task.calibration.feeds
        )
    )
