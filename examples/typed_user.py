"""What a program that checks its types strictly does with scission: `mypy --strict examples/typed_user.py`.

python examples/typed_user.py MODEL.onnx
"""

from __future__ import annotations

import sys
from pathlib import Path

import scission


def why_dense(plan: scission.Plan) -> list[tuple[str, str]]:
    """Each linear that stays dense, and the reason."""
    return [(one.node, one.reason.text) for one in plan.left_alone]


def narrowest(rows: tuple[scission.Inspection, ...]) -> scission.Inspection:
    """The linear with the smallest share of multiply-adds in its blocks."""
    return min(rows, key=lambda row: row.blocks)


def main(path: Path) -> int:
    """Plan, carry out, check; exit status 1 where they differ."""
    try:
        plan = scission.plan(path, scission.PlanOptions(force=True))
        split = scission.apply(path.read_bytes(), plan)
    except scission.ScissionError as error:
        print(error, file=sys.stderr)
        return 2
    verdict: scission.Verdict = scission.check(path.read_bytes(), split, trials=scission.Trials(provider="cpu"))
    for node, reason in why_dense(plan):
        print(f"{node}: {reason}")
    print(narrowest(scission.inspect(path)).node, verdict.equal)
    return 0 if verdict.equal else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
