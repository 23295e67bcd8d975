"""The forms in which the outputs of one weight come apart: what each takes, and which one a plan would choose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from ...ir.brief import brief, brief_line
from ...ir.graph.survey import Survey, survey
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.phase import phase
from ...ir.plan.plan import Block, Decomposition, LoweringName
from ...ir.plan.step import byte_share
from ...passes.cocluster.low_rank import LowRank, low_rank
from ...passes.decompose.blocks import in_order, is_run
from ...passes.decompose.cover.cover import WORTH
from ...passes.lowering.linear.lowerings import lowering_of
from ...passes.lowering.prices import MARGIN
from ...passes.lowering.target import Target, threads_of
from ...passes.planning.analysis import Analysis, analyse
from ...passes.planning.candidates import Question, best_of, candidates
from ...passes.planning.wording import praise
from ..validation import OptionError, whole_number, whole_numbers
from .source import Weight, find_weight, is_matrix_file

if TYPE_CHECKING:
    from ...ir.io.load import Source

__all__ = ["ROWS", "CoverGroup", "Covering", "CoveringError", "Form", "Kind", "cover", "cover_of", "lowered_share"]

Array = npt.NDArray[Any]
Kind = Literal["dense", "components", "groups", "groups and residual entries", "split-K groups"]

ROWS = (256,)
FLOATS = ("float16", "float32", "float64")  # products of others are predicted as if they were float32
OPSET = 17  # operator set of the product that costs are predicted for


class CoveringError(OptionError):
    """A weight whose groups cannot be looked for, or options that contradict each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverGroup:
    """One group of a form, with all features that it reads and writes.

    shared: how many of its inputs other groups read too, or where groups are split-K of its outputs that others write;
    window: whether its inputs follow one another; shares are those of the dense weight, bytes with indices.
    """

    block: Block
    shared: int
    window: bool
    mac_share: float
    byte_share: float

    __repr__ = brief_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One way to compute a product with the weight, groups merged as it is predicted to be fastest.

    words: what it is; found: groups before they are merged; gain: predicted dense time over its own, at its worst over
    the row counts, None where it takes as many multiply-adds as the dense weight; taken: whether a plan takes it.
    """

    kind: Kind
    words: str
    decomposition: Decomposition
    found: int
    lowering: LoweringName
    byte_share: float
    gain: float | None
    taken: bool = False

    __repr__ = brief_line

    @property
    def mac_share(self) -> float:
        """Multiply-adds over those of the dense product, 0 to 1."""
        return self.decomposition.mac_share


@dataclass(frozen=True, kw_only=True, eq=False)
class Covering:
    """What was found in a weight (K, N), as `scission cover` shows it.

    weight: its name; matrix: the weight itself; dtype: of the product, as in a plan; rows: activation rows that costs
    are for; components and edges of the bipartite graph; forms: the dense one first.
    """

    weight: str
    matrix: Array
    dtype: str
    rows: tuple[int, ...]
    components: int
    edges: int
    forms: tuple[Form, ...]

    __repr__ = brief

    @property
    def shape(self) -> tuple[int, int]:
        """(inputs, outputs)."""
        return self.forms[0].decomposition.shape

    @property
    def taken(self) -> Form:
        """The form that a plan takes, the dense one where nothing is predicted to gain."""
        return next(form for form in self.forms if form.taken)

    @property
    def best(self) -> Form | None:
        """The form that is taken, or where that is the dense one the one that comes nearest; None where all there is is
        dense."""
        rest = [form for form in self.forms if form.kind != "dense" and form.gain is not None]
        return max(rest, key=lambda form: form.gain or 0.0, default=None)

    @property
    def density(self) -> float:
        """Edges over entries, 0 to 1."""
        return self.edges / (self.shape[0] * self.shape[1])

    @cached_property
    def low_rank(self) -> tuple[LowRank, ...]:
        """Blocks and a product of low rank, an analysis only, which no plan writes; it takes the longest of all."""
        return low_rank(self.matrix)

    @property
    def groups(self) -> tuple[CoverGroup, ...]:
        """Those of the best form, in the order in which a picture shows them."""
        return tuple(_groups(self, self.best)) if self.best is not None else ()

    @property
    def sentence(self) -> str:
        """What comes of it, in one sentence."""
        return _sentence(self)


def cover(
    source: Source | Array,
    node: str | None = None,
    *,
    rows: Sequence[int] | int = ROWS,
    transposed: bool = False,
    threads: int | None = None,
) -> Covering:
    """The forms in which the outputs of one weight come apart: components, groups that share inputs, residual entries,
    sums.

    source: a model as `scission.plan` takes it, a path as the command line takes it ('model.onnx:node', 'w.npy'), or a
    matrix (K, N) with inputs in rows; node: address of a linear in the model; rows: activation rows that costs are for;
    transposed: the matrix has outputs in rows instead, as torch stores it; threads: that the product will run on, all
    cores by default. Costs are those of one MatMul with the weight on a CPU. Raises WeightError when the weight
    cannot be read, AmbiguousError when it is one of several, CoveringError for rows or threads that are no positive
    numbers and for `transposed` of a model.

    >>> found = cover(np.kron(np.eye(4), np.ones((64, 64), np.float32)), threads=1)
    >>> [(form.kind, len(form.decomposition.blocks), form.mac_share) for form in found.forms]
    [('dense', 1, 1.0), ('components', 4, 0.25)]
    >>> found.taken.kind
    'components'
    """
    return cover_of(find_weight(source, node), rows=rows, transposed=transposed, threads=threads)


@phase("cover")
def cover_of(
    weight: Weight, *, rows: Sequence[int] | int = ROWS, transposed: bool = False, threads: int | None = None
) -> Covering:
    """The same for a weight that was read already."""
    rows = whole_numbers("rows", rows, CoveringError) or ROWS
    threads = None if threads is None else whole_number("threads", threads, CoveringError)
    if transposed and any(not is_matrix_file(path) for path in weight.files):
        raise CoveringError(f"{weight.name}: a model says which side of its weight is which; leave 'transposed' out")
    matrix = weight.matrix.T if transposed else weight.matrix
    seen = _product(matrix)
    analysis = analyse(matrix)
    forms = [_dense(matrix.shape), *_forms(seen, analysis, rows, threads_of(threads))]
    best = max(forms[1:], key=lambda form: form.gain or 0.0, default=forms[0])
    chosen = best if (best.gain or 0.0) >= MARGIN else forms[0]
    return Covering(
        weight=weight.name,
        matrix=matrix,
        dtype=seen.linears[0].dtype.name.lower(),
        rows=tuple(rows),
        components=analysis.components.count,
        edges=analysis.components.nonzeros,
        forms=tuple(replace(form, taken=form is chosen) for form in forms),
    )


def _product(matrix: Array) -> Survey:
    """One MatMul of its own with the weight, which shares the memory of the matrix."""
    real = np.abs(matrix) if matrix.dtype.kind == "c" else matrix
    values = np.asarray(real, real.dtype.name if real.dtype.name in FLOATS else np.float32)
    tensor = ir.tensor(values, name="weight")
    x = ir.Value(name="x", shape=ir.Shape(["rows", values.shape[0]]), type=ir.TensorType(tensor.dtype))
    weight = ir.Value(name="weight", const_value=tensor, shape=ir.Shape(values.shape), type=ir.TensorType(tensor.dtype))
    node = ir.node("MatMul", [x, weight], name="product")
    graph = ir.Graph([x], node.outputs, nodes=[node], initializers=[weight], opset_imports={"": OPSET}, name="cover")
    return survey(ir.Model(graph, ir_version=9))


def _dense(shape: tuple[int, int]) -> Form:
    whole = Decomposition(shape, (Block(np.arange(shape[0]), np.arange(shape[1])),))
    return Form(kind="dense", words="dense", decomposition=whole, found=1, lowering="dense", byte_share=1.0, gain=1.0)


def _forms(seen: Survey, analysis: Analysis, rows: Sequence[int], threads: int) -> Iterator[Form]:
    """The components where there is more than the dense weight, and every cover, each lowered as a plan would."""
    linear = seen.linears[0]
    question = Question(target=Target(threads=threads), rows=rows)
    for index, found in enumerate(analysis.decompositions):
        if not found.blocks or (not index and found.mac_share == 1):
            continue
        alone = replace(analysis, decomposition=found, covers=())
        choice = best_of(candidates(linear, alone, question))
        blocks = choice.decomposition if choice else found
        lowering: LoweringName = choice.lowering.name if choice else "dense"
        yield Form(
            kind=_kind(found) if index else "components",
            words=praise(analysis, blocks, selects=choice is not None and not choice.lowering.multiplies).text,
            decomposition=blocks,
            found=len(found.blocks),
            lowering=lowering,
            byte_share=lowered_share(blocks, lowering, linear.dtype.name.lower()),
            gain=choice.gain if choice else None,
        )


def _kind(found: Decomposition) -> Kind:
    return "split-K groups" if found.split_k else "groups and residual entries" if found.residual else "groups"


def lowered_share(decomposition: Decomposition, lowering: LoweringName, dtype: str) -> float:
    """Bytes of weights and indices over those of the dense weight; dtype: as that of a `Step`."""
    return byte_share(decomposition, lowering_of(lowering).index_bytes(decomposition), dtype)


def _groups(found: Covering, form: Form) -> Iterator[CoverGroup]:
    whole = form.decomposition
    several = np.zeros(found.shape[whole.split_k], bool)
    several[whole.shared] = True
    for block in in_order(whole):
        alone = Decomposition(whole.shape, (block,))
        yield CoverGroup(
            block=block,
            shared=int(several[block.outputs if whole.split_k else block.inputs].sum()),
            window=is_run(block.inputs),
            mac_share=alone.mac_share,
            byte_share=lowered_share(alone, form.lowering, found.dtype),
        )


def _sentence(found: Covering) -> str:
    best, taken = found.best, found.taken
    at = f"(rows {', '.join(map(str, found.rows))})"
    if not found.edges:
        return "every entry is zero: there is nothing to multiply"
    if best is None:
        whole = f"nothing to gain: {found.density:.1%} of the entries are edges, "
        if found.density > 1 - WORTH:
            return f"{whole}so that every group of outputs reads nearly all inputs"
        return f"{whole}and no groups of outputs or inputs leave a tenth of the multiply-adds out"
    if taken.kind == "dense":
        left = f"{best.words}: {best.mac_share:.1%} of the multiply-adds are left"
        return f"{left}, but {best.gain:.2f}x the speed of dense is predicted {at}, so a plan leaves it dense"
    return (
        f"{taken.words}: {taken.mac_share:.1%} of the multiply-adds and {taken.byte_share:.1%} of the bytes are left, "
        f"{taken.gain:.1f}x the speed of dense is predicted {at}"
    )
