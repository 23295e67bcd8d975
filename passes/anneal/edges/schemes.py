"""Initialization schemes: the null distribution that the name of an initialiser, or the weights themselves, tell."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.errors import ScissionError
from ....ir.evidence.null import Null

__all__ = ["SCHEMES", "Scheme", "SchemeError", "estimate", "parse_scheme"]

# A draw at the very edge of a uniform law may be rounded past it when it is stored; beyond the edge p would be 0.
EDGE = 2.0**-23
NORMAL_MEDIAN = 0.6744897501960817  # of |X|, X ~ Normal(0, 1)
FEWEST = 4096  # entries, below which a normal law is too often taken for a uniform one, which has no tail at all
Z = 4.0  # standard errors that are allowed for
UNIFORM_KURTOSIS = -1.2


class SchemeError(ScissionError):
    """An initialization scheme that cannot be read, or weights from which none can be estimated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """An initialiser: scale = factor / √fan, with fan 'in' (K), 'sum' (K + N) or 'none' (1).

    text: as the user wrote it; note: what the preset stands for and where it departs from the library.
    """

    text: str
    family: str
    factor: float
    fan: str
    note: str

    def null(self, fan_in: int, fan_out: int) -> Null:
        """The distribution of an untouched weight of shape (K, N) = (fan_in, fan_out).

        The half width of a uniform law is widened by 2⁻²³ of itself, since float32 may store a draw just past it.
        Raises SchemeError when a fan is not positive.

        >>> parse_scheme("xavier_uniform").null(2, 4).scale.__round__(6)
        1.0
        """
        if fan_in < 1 or fan_out < 1:
            raise SchemeError(f"{self.text}: a weight has inputs and outputs, not {fan_in} and {fan_out}")
        fan = {"in": fan_in, "sum": fan_in + fan_out, "none": 1}[self.fan]
        scale = self.factor / math.sqrt(fan) * (1 + EDGE if self.family == "uniform" else 1)
        return Null(family=self.family, scale=scale, source=f"scheme {self.text}: {self.note}")


@dataclass(frozen=True, slots=True)
class _Known:
    """A scheme by name: scale = √numerator · gain / √fan; `option` is the parameter that it takes after a colon."""

    family: str
    numerator: float
    fan: str
    note: str
    option: str = ""


_TRUNCATED = "; Keras and JAX cut it off at 2.27 sigma, against which this null is the stricter at levels up to 0.05"

SCHEMES: Mapping[str, _Known] = MappingProxyType(
    {
        "torch_linear": _Known("uniform", 1, "in", "U(±1/√fan_in), the default of torch.nn.Linear and Conv"),
        "kaiming_uniform": _Known("uniform", 6, "in", "U(±√(6/((1+a²) fan_in))), a = 0 for ReLU", "a"),
        "kaiming_normal": _Known("normal", 2, "in", "N(0, 2/((1+a²) fan_in)), a = 0 for ReLU" + _TRUNCATED, "a"),
        "xavier_uniform": _Known("uniform", 6, "sum", "U(±gain √(6/(fan_in+fan_out)))", "gain"),
        "xavier_normal": _Known("normal", 2, "sum", "N(0, gain² 2/(fan_in+fan_out))" + _TRUNCATED, "gain"),
        "lecun_uniform": _Known("uniform", 3, "in", "U(±√(3/fan_in))"),
        "lecun_normal": _Known("normal", 1, "in", "N(0, 1/fan_in)" + _TRUNCATED),
        "normal": _Known("normal", 1, "none", "N(0, sigma²), sigma as given", "sigma"),
        "uniform": _Known("uniform", 1, "none", "U(±a), a as given", "a"),
        "bert": _Known("normal", 4e-4, "none", "N(0, 0.02²), as Hugging Face's BERT; Google's was cut off at 0.04"),
        "gpt2": _Known(
            "normal", 4e-4, "none", "N(0, 0.02²); too wide by √(2 layers) for the residual projections (c_proj)"
        ),
        "llama": _Known("normal", 4e-4, "none", "N(0, 0.02²), initializer_range of Hugging Face's Llama"),
        "t5": _Known("normal", 1, "in", "N(0, 1/fan_in); too wide by √d_kv for the queries (q)"),
        "keras": _Known("uniform", 6, "sum", "U(±√(6/(fan_in+fan_out))), the default of keras.layers.Dense"),
        "flax": _Known("normal", 1, "in", "N(0, 1/fan_in), the default of flax.linen.Dense" + _TRUNCATED),
        "sklearn_mlp": _Known(
            "uniform", 6, "sum", "U(±√(6/(fan_in+fan_out))), √(2/…) when logistic, as MLPClassifier", "activation"
        ),
    }
)
ALIASES = {
    "he_uniform": "kaiming_uniform",
    "he_normal": "kaiming_normal",
    "glorot_uniform": "xavier_uniform",
    "glorot_normal": "xavier_normal",
}
ACTIVATIONS = ("identity", "logistic", "tanh", "relu")


def parse_scheme(text: str) -> Scheme:
    """The scheme that NAME, NAME:VALUE or NAME:OPTION=VALUE stands for.

    normal:SIGMA and uniform:A need a value; kaiming_* take a, the negative slope of a leaky ReLU; xavier_* take gain;
    sklearn_mlp takes activation. Raises SchemeError, with the names there are and the nearest one, for another name.
    Source: Glorot and Bengio 2010; He et al. 2015; LeCun et al. 1998; the presets, their libraries.

    >>> parse_scheme("normal:0.02").null(384, 1536).sigma
    0.02
    """
    name, colon, value = (part.strip() for part in text.partition(":"))
    name = name.lower().replace("-", "_")
    name = ALIASES.get(name, name)
    known = SCHEMES.get(name)
    if known is None:
        close = difflib.get_close_matches(name, [*SCHEMES, *ALIASES], 1)
        hint = f"; did you mean {close[0]!r}?" if close else "."
        raise SchemeError(f"there is no initialization scheme {name!r}{hint} There are: {', '.join(SCHEMES)}")
    if colon and not known.option:
        raise SchemeError(f"{text}: {name} takes no value; give {name} alone")
    option, equals, given = value.partition("=")
    if equals and option.strip() != known.option:
        raise SchemeError(f"{text}: {name} takes {known.option}, not {option.strip()!r}")
    if not colon and known.fan == "none" and known.option:
        raise SchemeError(f"{text}: how wide is it? give {name}:{known.option.upper()}, as in {name}:0.02")
    factor = math.sqrt(known.numerator)
    if colon:
        factor = _factor(text, name, factor, given.strip() if equals else value)
    return Scheme(text=text.strip(), family=known.family, factor=factor, fan=known.fan, note=known.note)


def _factor(text: str, name: str, factor: float, value: str) -> float:
    """The factor of a scheme with the value of its option."""
    if name == "sklearn_mlp":
        if value not in ACTIVATIONS:
            raise SchemeError(f"{text}: the activation is one of {', '.join(ACTIVATIONS)}, not {value!r}")
        return math.sqrt(2) if value == "logistic" else factor
    try:
        number = float(value)
    except ValueError:
        raise SchemeError(f"{text}: {value!r} is no number; write it as in {name}:0.5") from None
    slope = name.startswith("kaiming")
    if not math.isfinite(number) or number < 0 or (number == 0 and not slope):
        raise SchemeError(f"{text}: the value must be {'finite and not negative' if slope else 'positive and finite'}")
    scaled = factor / math.sqrt(1 + number * number) if slope else factor * number
    if not (math.isfinite(scaled) and scaled > 0):
        raise SchemeError(f"{text}: {value} leaves no scale that a float can hold; give a smaller one")
    return scaled


def estimate(weight: npt.NDArray[Any]) -> Null:
    """A null fitted to the bulk of a trained weight, any shape: a last resort, marked `estimated`.

    Normal: σ = median |w| / 0.6745, the median absolute deviation about the mean 0 that the null has. Uniform where
    the quartiles of |w| stand as 1 : 2 : 3 and the bulk has an excess kurtosis of -1.2; then a is the largest |w| of
    the bulk, so that no entry of it lies outside. NaN, infinities and exact zeros (pruned entries) are left out.

    Bias: a share ε of entries that training made large shifts the median to quantile 0.5/(1 - ε) of the others: σ is
    too large by 6 % for ε = 5 %, 13 % for 10 %, 58 % for 30 %; nothing can be said from 50 % on. Entries that training
    made small pull it down likewise. A σ too large confirms too few edges, one too small confirms noise.
    Raises SchemeError when fewer than two entries are left.

    >>> null = estimate(np.random.default_rng(0).normal(0, 0.02, (200, 200)))
    >>> null.family, round(null.scale, 3), null.estimated
    ('normal', 0.02, True)
    """
    values = np.asarray(weight).ravel()
    if values.dtype.itemsize < 4 or values.dtype.kind in "iub":
        values = values.astype(np.float32)
    sizes = np.abs(values)
    sizes = np.sort(sizes[np.isfinite(sizes) & (sizes > 0)])
    n = int(sizes.size)
    if n < 2:
        raise SchemeError(f"no null can be estimated from {n} entries that are finite and not zero; give a scheme")
    source = f"robust estimate from the bulk of {n} entries"
    edge = _support(sizes)
    if edge is not None:
        return Null(family="uniform", scale=edge * (1 + EDGE), source=f"{source}, bounded support", estimated=True)
    return Null(family="normal", scale=float(np.median(sizes)) / NORMAL_MEDIAN, source=source, estimated=True)


def _support(sizes: npt.NDArray[Any]) -> float | None:
    """The half width of the uniform law that the bulk of the sorted |w| follows, None when it follows none.

    All quantiles of U(0, a) with a share of larger values mixed in lie on one line through 0 up to a, which is what
    the quartiles are held to; the bulk ends where the sizes leave that line.
    """
    n = sizes.size
    if n < FEWEST:
        return None
    quarter, half, three = (float(q) for q in np.quantile(sizes, [0.25, 0.5, 0.75]))
    slack = Z / math.sqrt(n)  # of 2 * half: its standard error is a/√n
    if abs(quarter / half - 0.5) > slack / 2 or abs(three / half - 1.5) > slack:
        return None
    rank = np.arange(1, n + 1) / n
    inside = np.flatnonzero(np.abs(rank - sizes / (2 * half)) <= slack)
    if not inside.size:
        return None
    bulk = sizes[: inside[-1] + 1].astype(np.float64) / (2 * half)
    second = float(np.mean(bulk**2))
    kurtosis = float(np.mean(bulk**4)) / second**2 - 3
    return float(sizes[inside[-1]]) if abs(kurtosis - UNIFORM_KURTOSIS) <= 2 * slack else None
