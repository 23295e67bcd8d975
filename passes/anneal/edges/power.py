"""What an entry is like under the null once learning has added something to it."""

from __future__ import annotations

import math

from ....ir.evidence.null import Null

__all__ = ["tail"]


def tail(null: Null, threshold: float, signal: float) -> float:
    """P(|x + d| > threshold) for x from the null and d normal with `signal` times the null's sigma as its deviation.

    Normal: that of a normal law of variance sigma^2 (1 + signal^2). Uniform: the distribution function of the sum is
    tau/(2a) (G((t + a)/tau) - G((t - a)/tau)), with tau = signal sigma and G(x) = x Phi(x) + phi(x), the integral of
    Phi.

    >>> unit = Null(family="uniform", scale=1, source="example")
    >>> tail(unit, 0.75, 0.0), round(tail(unit, 0.75, 1e-3), 6)
    (0.25, 0.25)
    """
    from scipy.special import ndtr

    if signal <= 0 or null.family == "normal":
        return float(null.p_value(threshold / math.sqrt(1 + max(signal, 0.0) ** 2)))
    tau, a = signal * null.sigma, null.scale

    def integral(x: float) -> float:
        return x * float(ndtr(x)) + math.exp(-x * x / 2) / math.sqrt(2 * math.pi)

    # From above, so that nothing cancels far out: 1 - F(t) = tau/(2a) (G((a - t)/tau) - G((-a - t)/tau)).
    above = tau / (2 * a) * (integral((a - threshold) / tau) - integral((-a - threshold) / tau))
    return min(max(2 * above, 0.0), 1.0)
