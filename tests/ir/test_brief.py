import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scission
from scission.ir.brief import Several, brief, brief_line
from scission.models.planted import products as planted


@dataclasses.dataclass(frozen=True)
class Found:
    name: str
    held: object = ()

    __repr__ = brief


PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=200), st.binary(max_size=300))
HELD = st.recursive(
    PLAIN | st.builds(np.zeros, st.integers(0, 50)),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(), inner)
        | st.builds(Found, st.text(), inner)
    ),
    max_leaves=30,
)


@settings(max_examples=40)
@given(HELD)
def test_whatever_is_held_takes_few_lines(held):
    for text in (repr(Found("x", held)), repr(Several([Found("x", held)] * 40))):
        lines = text.splitlines()
        assert len(lines) <= 20 and all(len(line) <= 200 for line in lines)
    assert "\n" not in brief_line(Found("x", held))


def test_a_class_with_many_fields_is_cut():
    fields = [(f"field{index}", str) for index in range(40)]
    many = dataclasses.make_dataclass("Many", fields, namespace={"__repr__": brief})
    text = repr(many(*["x" * 30] * 40))
    assert len(text.splitlines()) == 20 and "… and 23 fields more" in text


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What every public function returns for one model with 16 blocks."""
    folder = tmp_path_factory.mktemp("results")
    model = planted.build(np.random.default_rng(0), "matmul-right-3", sizes=((16, 16),) * 16).model
    trials = scission.Trials(seconds=0.05, threads=1)
    done = scission.optimize(model, force=True, rows=[8], trials=trials)
    out = done.model
    (name,) = [step.node for step in done.plan.rewrites]
    return {
        "optimize": done,
        "plan": done.plan,
        "steps": done.plan.steps,
        "check": scission.check(model, out, trials=trials),
        "bench": scission.bench(model, out, trials=trials, rows=[8]),
        "inspect": scission.inspect(model),
        "explain": scission.explain(model, name),
        "diff": scission.diff(model, out),
        "report": scission.report(model, out, folder / "page.html", check=False, bench=False),
        "structure": scission.structure(np.kron(np.eye(40), np.ones((4, 4)))),
        "cover": scission.cover(np.kron(np.eye(40), np.ones((4, 4), np.float32))),
    }


def test_what_functions_return_takes_few_lines(results):
    long = {name: len(repr(one).splitlines()) for name, one in results.items() if len(repr(one).splitlines()) > 20}
    assert long == {}
    wide = {name: max(map(len, repr(one).splitlines())) for name, one in results.items()}
    assert max(wide.values()) < 400, wide
