"""The keys of metadata under which a rewritten model says where it comes from.

model   scission            how many operators were split, for people
        scission.plan       `Plan.sha256` of the plan that was carried out
        scission.annealing  what was removed before, scission.reordered which features got another order
        scission.retraining how its weights went on learning, as JSON
        scission.decomposed what it was made smaller by, what it lacks and what that costs, as JSON
        scission.fixed      the sizes that open dimensions of its inputs were given, by name, as JSON
        scission.part       which part of a model it is
node    scission.origin     the address of the linear that it stands for, in the original
        scission.role       what it does for it

Beside these a new node bears all that the node it stands for bore, such as the layer that ONNX Runtime assigns to a
device by its session option `session.layer_assignment_settings`.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "ANNEALED",
    "BRANCHES",
    "DECOMPOSED",
    "FIXED",
    "LAYER",
    "MATRIX",
    "ORIGIN",
    "PART",
    "PLAN",
    "REORDERED",
    "RETRAINED",
    "ROLE",
    "SUMMARY",
    "is_block",
    "is_factor",
]

SUMMARY = "scission"
PLAN = "scission.plan"
ANNEALED = "scission.annealing"
REORDERED = "scission.reordered"
RETRAINED = "scission.retraining"
DECOMPOSED = "scission.decomposed"
FIXED = "scission.fixed"
PART = "scission.part"
ORIGIN = "scission.origin"
ROLE = "scission.role"
LAYER = "layer_ann"  # of a node, which is ONNX Runtime's name for it

BRANCHES = "branches"  # the role of what stands for branches that were merged, and may be split like any other
FACTORS = frozenset({"near", "far", "joint"})  # the roles of what applies the factors of a hierarchical weight
STAGE = "stage."  # what those of other factors begin with
MATRIX = "matrix"  # the same of a product that stands for a transform


def is_block(notes: Mapping[str, str]) -> bool:
    """Whether the metadata of a node say that it is a part of a split operator.

    >>> is_block({ORIGIN: "up", ROLE: "block0"}), is_block({ORIGIN: "up", ROLE: BRANCHES}), is_block({})
    (True, False, False)
    """
    return ORIGIN in notes and notes.get(ROLE) not in (BRANCHES, MATRIX)


def is_factor(notes: Mapping[str, str]) -> bool:
    """Whether the metadata of a node say that it applies one of several factors of a weight.

    >>> is_factor({ORIGIN: "up", ROLE: "stage.0"}), is_factor({ORIGIN: "up", ROLE: "block0"})
    (True, False)
    """
    role = notes.get(ROLE, "")
    return ORIGIN in notes and (role in FACTORS or role.startswith(STAGE))
