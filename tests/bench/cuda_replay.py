"""The choice of the planner for CUDA, replayed over measured ways: `python tests/bench/cuda_replay.py [--save]`.

Needs no GPU. For each case of the table of a card (`tests/bench/cards`) the model is built, planned for CUDA at its
number of rows, and what the plan says is looked up in the table: how long that way took beside the fastest way of all
and beside dense. Then all ways are predicted and held beside what was measured. The time of a call of a graph that does
nothing is taken off what was measured, so that only the model counts; of that call, which copies its input, the copy is
taken off first. --save writes what the plans chose into the table of choices that a test holds to the targets.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from cuda_prices import NO_SLOWER, WITHIN, net
from figures import Figure, at_least, at_most, missed, show
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr
from ways import BY_HAND, CALLED, H200, STACKED, Case, Predictor, by_case, network, read, single

import scission
from scission.ir.io.load import Model, load
from scission.passes.lowering.prices import prices_of
from scission.passes.planning.make_plan import make_plan
from scission.passes.planning.settings import PlanSettings

CHOICES = Path(__file__).parent / "cards" / "h200-choices.json"


@dataclass(frozen=True)
class Choice:
    """What the plan of a case says, and the seconds of that way, of the fastest and of dense beyond an empty call."""

    case: Case
    way: str
    seconds: float
    best: float
    dense: float

    @property
    def near(self) -> bool:
        """Whether it is within 10 % of the fastest way."""
        return self.seconds <= WITHIN * self.best

    @property
    def gain(self) -> float:
        """Dense time over its own."""
        return self.dense / self.seconds


def way_of(plan: scission.Plan, case: Case) -> str:
    """What the tables call the way of a plan."""
    lowerings = {step.lowering for step in plan.steps}
    if plan.regions:
        (region,) = plan.regions
        blocks = len(plan.steps[0].decomposition.blocks)
        if blocks != case.count:
            return f"{blocks} blocks"
        return STACKED if region.layout == "stacked" else f"{CALLED[region.layout]}/{region.blocks_per_node}"
    if lowerings == {"dense"}:
        return "dense"
    (name,) = lowerings if len(lowerings) == 1 else ("+".join(sorted(lowerings)),)
    whole = all(len(step.decomposition.blocks) == case.count for step in plan.steps)
    return CALLED.get(name, name) if whole else f"{name} in fewer blocks"


def chosen(cases: Mapping[Case, Mapping[str, float]]) -> Iterator[tuple[Case, str]]:
    """What the planner chooses for each case."""
    made: dict[object, Model] = {}
    for case in sorted(cases, key=lambda one: (one.model, one.rows)):
        if case.model not in made:
            made.clear()  # one model at a time: the largest has half a gigabyte
            made[case.model] = load(single(case)[0] if case.kind == "single" else network(case, "gelu"))
        plan = make_plan(made[case.model], PlanSettings(provider="cuda", batch=[case.rows]))
        yield case, way_of(plan, case)


def replayed(choices: Mapping[Case, str], cases: Mapping[Case, Mapping[str, float]]) -> list[Choice]:
    """The choices with what was measured; a way that is not in the table counts as one that took forever."""
    found = []
    for case, ways in cases.items():
        spent = net(case, ways)
        taken = spent.get(choices[case], np.inf)
        found.append(Choice(case, choices[case], taken, min(spent.values()), spent["dense"]))
    return found


def load_choices() -> dict[Case, str]:
    """Those that were saved."""
    return {Case(**row["case"]): row["way"] for row in json.loads(CHOICES.read_text())["choices"]}


def figures(found: list[Choice]) -> list[Figure]:
    """How good the choices are."""
    near = float(np.mean([one.near for one in found]))
    return [
        at_least("choices", f"share within 10 % of the fastest way, {len(found)} cases", near, 0.95),
        at_least("choices", "smallest gain over dense", min(one.gain for one in found), NO_SLOWER),
    ]


def predictions(cases: Mapping[Case, Mapping[str, float]]) -> list[Figure]:
    """Predicted beside measured, all ways that a lowering can write."""
    prices, predictor = prices_of("cuda"), Predictor(cases, "gelu")
    pairs = [
        (predictor.seconds(case, way, prices), spent)
        for case, ways in cases.items()
        for way, spent in net(case, ways).items()
        if way not in BY_HAND
    ]
    predicted, measured = np.array(pairs).T
    error = float(np.expm1(np.median(np.abs(np.log(predicted / measured)))))
    rank = float(spearmanr(predicted, measured).statistic)
    return [
        at_most("predictions", f"median error over {len(pairs)} ways", error, 0.15),
        at_least("predictions", "rank correlation", rank, 0.98),
    ]


def main() -> int:
    """Replay, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--save", action="store_true", help="keep what the plans chose")
    options = parser.parse_args()
    cases = by_case(read(H200))
    choices = {}
    for case, way in chosen(cases):
        choices[case] = way
        print(f"{case}: {way}", flush=True)
    found = replayed(choices, cases)
    table = Table("case", "chosen", "us", "fastest", "dense", "gain", "", box=None)
    for one in found:
        case = one.case
        name = f"{case.kind} {case.size}/{case.count} {'shuffled' if case.shuffle else 'in order'} {case.dtype}"
        spent = [f"{seconds * 1e6:.1f}" for seconds in (one.seconds, one.best, one.dense)]
        table.add_row(f"{name} x{case.rows}", one.way, *spent, f"{one.gain:.2f}", "" if one.near else "FAR")
    Console(width=120).print(table)
    told = [*figures(found), *predictions(cases)]
    show(told)
    if options.save:
        rows = [json.dumps({"case": asdict(case), "way": way}) for case, way in choices.items()]
        kept = [json.dumps(asdict(one)) for one in told]
        text = ",\n  ".join(rows)
        CHOICES.write_text('{"choices": [\n  ' + text + '\n ],\n "figures": [\n  ' + ",\n  ".join(kept) + "\n ]}\n")
        print(f"wrote {CHOICES}")
    return int(missed(told))


if __name__ == "__main__":
    sys.exit(main())
