"""Results as a picture: the candidates of all methods, and the front of latency against the metric."""

from __future__ import annotations

from ..render.picture.front import FrontPoint, front_picture
from .result import DecomposeResult

__all__ = ["decompose_picture"]


def decompose_picture(found: DecomposeResult, format_: str = "png") -> bytes:
    """A PNG or SVG file of all candidates: see `front_picture`."""
    front = found.front
    points = [
        FrontPoint(
            method=one.candidate.method,
            speedup=one.speedup,
            low=one.latency.low,
            high=one.latency.high,
            lost=one.drop,
            front=any(one is other for other in front),
            kept=one is found.chosen,
        )
        for one in found.tried
    ]
    goal = found.goal
    return front_picture(
        points, goal.metric.name, found.original.name, limit=goal.limit, target=goal.target, format_=format_
    )
