"""The keys of metadata under which a rewritten model says where it comes from.

model   scission            how many operators were split, for people
        scission.plan       `Plan.sha256` of the plan that was carried out
        scission.annealing  what was removed before, scission.reordered which features got another order
node    scission.origin     the address of the linear that it stands for, in the original
        scission.role       what it does for it
"""

from __future__ import annotations

__all__ = ["ANNEALED", "ORIGIN", "PLAN", "REORDERED", "ROLE", "SUMMARY"]

SUMMARY = "scission"
PLAN = "scission.plan"
ANNEALED = "scission.annealing"
REORDERED = "scission.reordered"
ORIGIN = "scission.origin"
ROLE = "scission.role"
