"""What becomes of the sums of trees, in plain operators and as ONNX Runtime does it on a CPU, oddities included.

Two classes of which leaves know one are odd, and so are two of which they know both: see `_two_classes`.
"""

from __future__ import annotations

import numpy as np

from ....ir.onnx_ir import onnx_ir as ir
from ....ir.reason import Cause, Reason
from ..trees.writer import Writer
from .ensemble import Aggregate, Ensemble, PostTransform
from .transform import transformed

__all__ = ["why_unfinished", "write_labels", "write_scores"]

EVEN = 0.5  # what the only class of two has to exceed where no leaf adds less than nothing
ALWAYS, NEVER = 1, 0


def why_unfinished(ensemble: Ensemble) -> Reason | None:
    """Why plain operators cannot do the same with the sums; None where they can."""
    known = ensemble.scored()
    if not np.isfinite(ensemble.forest.weight).all():
        return Reason(Cause.UNSUPPORTED, "a leaf adds infinity or NaN")
    if ensemble.labels is None:
        extremes = ensemble.aggregate in (Aggregate.MIN, Aggregate.MAX)
        # What a tree does not add is no 0 among those that the extreme is of.
        partly = extremes and (ensemble.scored(by_every_tree=True) != ALWAYS).any()
        return Reason(Cause.UNSUPPORTED, "not every target has an extreme for every row") if partly else None
    classes = len(ensemble.labels.names)
    if classes != ensemble.forest.targets or not classes:
        return Reason(Cause.UNSUPPORTED, "classes have no names")
    if len(ensemble.base) > classes:
        return Reason(Cause.UNSUPPORTED, "there are more base values than classes")
    if classes == 1 and ensemble.labels.names.dtype == object:
        return Reason(Cause.UNSUPPORTED, "the only class is a text, and runtimes name another")
    if classes <= 2:
        if not known.any() or (known < 0).any():
            return Reason(Cause.UNSUPPORTED, "a class has a score for some rows and none for others")
        if classes == 2 and known.all() and ensemble.labels.names.dtype == object:
            return Reason(Cause.UNSUPPORTED, "two classes are texts, and runtimes number them")
        single = classes == 2 and known[1] == NEVER and len(ensemble.base) < 2
        if single and ensemble.transform is PostTransform.PROBIT:
            return Reason(Cause.UNSUPPORTED, "runtimes leave the second score undefined")
        return None
    positive = bool((ensemble.forest.weight > 0).all()) and bool((known != NEVER).any())
    based = len(ensemble.base) == classes
    if not (based or (known == ALWAYS).all() or (positive and not ensemble.base and _always_something(ensemble))):
        return Reason(Cause.UNSUPPORTED, "which classes have a score depends on the row")
    return None


def _always_something(ensemble: Ensemble) -> bool:
    """Whether some tree adds to some class whatever leaf is reached."""
    forest = ensemble.forest
    starts, ends = forest.leaf_rows()
    return bool((ends - starts)[forest.is_leaf].min(initial=1) > 0)


def write_scores(writer: Writer, ensemble: Ensemble, sums: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Append the operators; returns the scores (N, targets), and what labels are chosen by.

    sums: (N, targets) aggregated over trees.
    """
    if ensemble.labels is None:
        return _regression(writer, ensemble, sums), sums
    if ensemble.forest.targets == 1:
        score = _based(writer, ensemble.base[:1], sums)
        return _single(writer, ensemble, score), score
    if ensemble.forest.targets == 2:
        return _two_classes(writer, ensemble, sums)
    padded = ensemble.base and (*ensemble.base, *(0.0,) * (ensemble.forest.targets - len(ensemble.base)))
    scores = _based(writer, padded, sums)
    return transformed(writer, ensemble.transform, scores), scores


def _based(writer: Writer, base: tuple[float, ...], sums: ir.Value) -> ir.Value:
    """Base values added."""
    if not base or not any(base):
        return sums
    return writer.one("Add", [sums, writer.constant(np.array(base, np.float32), "base")], "base")


def _single(writer: Writer, ensemble: Ensemble, score: ir.Value) -> ir.Value:
    """One score by itself is transformed by nothing but PROBIT."""
    wanted = ensemble.transform is PostTransform.PROBIT
    return transformed(writer, PostTransform.PROBIT, score) if wanted else score


def _regression(writer: Writer, ensemble: Ensemble, sums: ir.Value) -> ir.Value:
    targets = ensemble.forest.targets
    scores = _based(writer, ensemble.base if len(ensemble.base) == targets else (), sums)
    return _single(writer, ensemble, scores) if targets == 1 else transformed(writer, ensemble.transform, scores)


def _two_classes(writer: Writer, ensemble: Ensemble, sums: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Both scores of two classes, and the one that decides.

    Where leaves know the first class alone its score s decides, and the scores are 1 - s and s, or -s and s where some
    leaf adds less than nothing. Where they know the second, that decides, and the first is 0. With two base values the
    second score is the sum of the first with the second base, and the first its negative, where there is a second.
    """
    assert ensemble.labels is not None
    first, second = (_column(writer, sums, at) for at in (0, 1))
    known, base = ensemble.scored(), ensemble.base
    nothing = writer.one("Mul", [first, writer.constant(np.zeros(1, np.float32), "none")], "none")
    if known[1] == NEVER and len(base) < 2:
        score = _based(writer, base, first)
        return _two_of_one(writer, ensemble, score), score
    if known[1] == NEVER:
        first = _based(writer, base[:1], first)
        return _pair(writer, ensemble, first if known[0] else nothing, nothing), first if known[0] else nothing
    if len(base) == 2:
        second = _based(writer, base[1:], first)
        first = writer.one("Neg", [second], "negative") if known[0] else nothing
    elif known[0]:
        first = _based(writer, base, first)
    return _pair(writer, ensemble, first, second), second


def _two_of_one(writer: Writer, ensemble: Ensemble, score: ir.Value) -> ir.Value:
    """The scores of two classes of which only the first is known to leaves."""
    assert ensemble.labels is not None
    if ensemble.transform is PostTransform.LOGISTIC:
        other = writer.one("Neg", [score], "negative")
        return transformed(writer, PostTransform.LOGISTIC, writer.one("Concat", [other, score], "scores", axis=1))
    if ensemble.labels.positive:
        one = writer.constant(np.ones(1, np.float32), "one")
        other = writer.one("Sub", [one, score], "negative")
    else:
        other = writer.one("Neg", [score], "negative")
    return writer.one("Concat", [other, score], "scores", axis=1)


def _pair(writer: Writer, ensemble: Ensemble, first: ir.Value, second: ir.Value) -> ir.Value:
    return transformed(writer, ensemble.transform, writer.one("Concat", [first, second], "scores", axis=1))


def _column(writer: Writer, sums: ir.Value, at: int) -> ir.Value:
    return writer.one("Gather", [sums, writer.constant(np.array([at]), f"class.{at}")], f"class.{at}", axis=1)


def write_labels(writer: Writer, ensemble: Ensemble, decisive: ir.Value) -> ir.Value:
    """Append the operators; returns the labels (N,). decisive: of `write_scores`."""
    assert ensemble.labels is not None
    names = ensemble.labels.names
    if len(names) > 2:
        place = writer.one("ArgMax", [decisive], "label", axis=1, keepdims=0)
        return writer.one("Gather", [writer.constant(names, "label/names"), place], "label", axis=0)
    known = ensemble.scored()
    binary = len(names) == 2 and known.sum() == 1
    least = EVEN if binary and ensemble.labels.positive else 0.0
    passed = writer.one("Greater", [decisive, writer.constant(np.array([least], np.float32), "label/least")], "label")
    place = writer.one("Cast", [passed], "label", to=ir.DataType.INT64)
    flat = writer.one("Reshape", [place, writer.constant(np.array([-1]), "label/shape")], "label")
    if not binary:
        return flat  # 1 or 0, whatever the classes are called
    return writer.one("Gather", [writer.constant(names, "label/names"), flat], "label", axis=0)
