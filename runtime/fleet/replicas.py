"""How many replicas of each part run, as Ray says it."""

from __future__ import annotations

from ray import serve

from .generation import Generation

__all__ = ["running_replicas"]

RUNNING = "RUNNING"


def running_replicas(generation: Generation) -> dict[str, int]:
    """By part; those of which nothing is known yet are left out."""
    found = {}
    for name, application in serve.status().applications.items():
        for part, deployment in application.deployments.items():
            if name == generation.application(part):
                states = {
                    str(getattr(state, "value", state)): count for state, count in deployment.replica_states.items()
                }
                found[part] = states.get(RUNNING, 0)
    return found
