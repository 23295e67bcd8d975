import pytest
from races import told

from scission.ir.reason import Cause, Reason
from scission.runtime.render.console import console
from scission.runtime.render.text.tuning import fallback_view, tuning_view
from scission.runtime.tune.fallback import Fallback
from scission.runtime.tune.tuned import TunedUnit, Way

TABLE = (
    Way(way="split 8", predicted=4.25, found=(told(3.5), told(2.0))),
    Way(way="scatter 8", predicted=2.0, found=(told(0.5), None)),
    Way(way="gather 8", predicted=1.5, found=(), problem=Reason(Cause.DIFFERENT, "output 'y' is wrong")),
)


def text(view):
    made = console()
    with made.capture() as captured:
        made.print(view)
    return captured.get()


def unit(**options):
    return TunedUnit(
        **{"nodes": ("a", "b", "[c]"), "planned": "scatter 8", "winner": "split 8", "batch": (1, 16), "table": TABLE}
        | options
    )


def test_a_unit_is_a_row_with_what_was_predicted_and_measured():
    shown = text(tuning_view([unit()], ["cache: begun anew"]))
    assert all(word in shown for word in ("a and 2 more", "split 8", "4.2x", "3.50x 2.00x", "at batch 1, 16"))
    assert "thrown out: a: gather 8: output 'y' is wrong" in shown and "warning: cache: begun anew" in shown


def test_all_shows_every_way():
    shown = text(tuning_view([unit()], everything=True))
    assert all(word in shown for word in ("a, b, [c]", "scatter 8", "0.50x -", "gather 8", "output 'y' is wrong"))


@pytest.mark.parametrize("source", ["cache", "other"])
def test_where_figures_come_from(source):
    assert ("cache" if source == "cache" else "as other") in text(tuning_view([unit(source=source)]))


def test_a_unit_that_stays_dense_or_was_not_measured():
    shown = text(tuning_view([unit(winner="dense", table=TABLE[1:2])]))
    assert "dense" in shown and "0.50x -" in shown
    shown = text(tuning_view([unit(table=(), batch=(), note="cannot be measured")]))
    assert "cannot be measured" in shown and "batch" not in shown


def test_many_units_are_summed_up():
    shown = text(tuning_view([unit()] * 14))
    assert "and 2 more (--all shows them)" in shown


def test_what_went_back_to_dense():
    one = Fallback(
        nodes=("up", "down"),
        way="region 4, features last",
        speed=0.83,
        slower=True,
        batch=16,
        reason=Reason(Cause.SLOWER, "measured 0.83x"),
    )
    shown = text(fallback_view([one] * 13))
    assert "up, down" in shown and "0.83x" in shown and "and 1 more" in shown
    assert "more" not in text(fallback_view([one] * 13, everything=True))
