"""Why something is as it is, or is not done: a cause for programs, and words for people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from .record import shown

__all__ = ["Cause", "Reason"]


class Cause(StrEnum):
    """What kind of reason it is: what is written into plans, compared, counted and branched on."""

    # A node with constant weights is no linear.
    NO_PRODUCT = "no_product"  # a lookup, a convolution over windows, a sum that is no plain product with a matrix
    BATCHED_WEIGHT = "batched_weight"  # a matrix for each of several batches
    INTEGER_KERNEL = "integer_kernel"  # its product is one of integers
    FUSED = "fused"  # its product cannot be taken out of the operator, or its activation function not apply to parts
    UNKNOWN_RANK = "unknown_rank"  # which axis holds its features is not known before shapes are inferred
    NOT_CONSTANT = "not_constant"  # callers may give other weights, or not all of them are constant
    IN_FUNCTION = "in_function"  # it depends on the caller of a local function
    OUT_OF_REACH = "out_of_reach"  # its values cannot be read from outside, or nothing is written where it stands
    UNREADABLE = "unreadable"  # its weight cannot be read or folded
    AMBIGUOUS = "ambiguous"  # runtimes differ in what they compute
    UNSUPPORTED = "unsupported"  # an operator set, type, shape or attribute that nothing is known for

    # A lowering does not fit.
    OPERATOR_SET = "operator_set"  # of the model is older than the operators that it needs
    LAYOUT = "layout"  # features lie on an axis that it does not take
    DATA_TYPE = "data_type"  # the runtime has no such kernel, or the type no such number
    CRASHES = "crashes"  # the runtime does, on what would be written
    BLOCKS = "blocks"  # these blocks, their order, outputs that they share, entries outside

    # ONNX Runtime does not run it, or not so, here.
    NO_PROVIDER = "no_provider"  # it cannot use the device
    NO_GRAPH = "no_graph"  # what runs cannot be recorded as one CUDA graph
    REFUSED = "refused"  # it opens or runs no such model

    # A step is dense.
    ALREADY_SPLIT = "already_split"  # it is a block of a split operator
    ALL_ZERO = "all_zero"
    CONNECTED = "connected"  # one component holds every feature
    QUANTISED = "quantised"  # its weight is, and blocks would lose the kernel or the format
    AS_ASKED = "as_asked"
    NO_GAIN = "no_gain"  # none is predicted
    SLOWER = "slower"  # measured
    UNMEASURED = "unmeasured"  # it cannot be measured by itself, and the whole model is slower with it
    DIFFERENT = "different"  # it does not compute the same
    RESTORED = "restored"  # from the original, as asked

    # A step is split, and this is what it is split into.
    COMPONENTS = "components"
    TRIANGULAR = "triangular"  # groups of rows of a block-triangular form
    COVER = "cover"  # groups of outputs that share inputs, or the other way round
    SELECTION = "selection"  # every output is one input
    REGION = "region"  # together with others

    # A part of a model becomes another before anything is split.
    FOREST = "forest"  # of decision trees, in another form
    BRANCHES = "branches"  # that are alike become one
    UNRELATED = "unrelated"  # branches that are alike read values that are no pieces of one
    CONVOLUTION = "convolution"  # a transform becomes one, or it a smaller one
    FACTORS = "factors"  # a weight is the product of smaller ones
    RANK = "rank"  # slices of a weight have too high a rank for a product of smaller ones
    SPARSE = "sparse"  # a weight is mostly zeros, and where they are tells more than factors
    INEXACT = "inexact"  # a weight is near a product of smaller ones, and is none
    ROUNDING = "rounding"  # factors may round worse than the product itself
    OVERLAP = "overlap"  # frames begin inside of the pieces that their products would be made of
    DO_NOTHING = "do_nothing"  # channels that are dead or constant are left out
    NOT_SPARSE = "not_sparse"  # hidden units that are to be experts are seldom zero

    # A weight is not annealed.
    UNTESTED = "untested"  # no test can be made of it
    MISFIT = "misfit"  # the null does not fit
    UNCERTIFIED = "uncertified"  # the certificate refuses the blocks
    NOTHING_CONFIRMED = "nothing_confirmed"
    NOTHING_TO_REMOVE = "nothing_to_remove"
    UNWRITABLE = "unwritable"  # a block or a residual entry cannot be written into the graph
    TOO_COSTLY_ALONE = "too_costly_alone"  # of the budget
    TOO_COSTLY_TOGETHER = "too_costly_together"
    VETOED = "vetoed"  # its outputs change too much on calibration data
    HELD_BACK = "held_back"  # the budget does not hold on the data held back
    OVER_BUDGET = "over_budget"  # every candidate for a smaller model loses more
    BELOW_TARGET = "below_target"  # none within the budget is as fast as was asked for
    ERROR_ONLY = "error_only"  # it would not be split either, though the error falls without what is removed


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is so: the cause, and the same in a sentence for people, which is never compared.

    >>> Reason(Cause.NO_GAIN, "2 blocks, but 0.9x is predicted") == Reason(Cause.NO_GAIN, "too slow")
    True
    >>> print(Reason(Cause.ALL_ZERO, "every entry is zero"))
    every entry is zero
    """

    cause: Cause
    text: str = field(compare=False)

    def __str__(self) -> str:
        return self.text

    def told(self, text: str) -> Reason:
        """The same cause in other words."""
        return replace(self, text=text)

    def to_dict(self) -> dict[str, str]:
        """The fields of a record that it explains, for JSON."""
        return {"cause": self.cause.value, "reason": self.text}

    @staticmethod
    def from_dict(data: dict[str, Any], error: Callable[[str], Exception] = ValueError) -> Reason:
        """Inverse of `to_dict`, which takes the two fields out of a record; raises `error` where they are no reason.

        >>> record = {"node": "up", "cause": "all_zero", "reason": "nothing there"}
        >>> Reason.from_dict(record).cause, record
        (<Cause.ALL_ZERO: 'all_zero'>, {'node': 'up'})
        """
        if missing := [name for name in ("cause", "reason") if name not in data]:
            raise error(f"{missing[0]!r} is missing")
        cause, text = data.pop("cause"), data.pop("reason")
        if not isinstance(text, str):
            raise error(f"'reason' is {shown(text)}, which is no text")
        if not isinstance(cause, str) or cause not in set(Cause):
            raise error(f"'cause' is {shown(cause)}, which is none of {', '.join(Cause)}")
        return Reason(Cause(cause), text)
