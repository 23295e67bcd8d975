"""What a user may ask of a plan, of an optimisation and of a report, as values; the command line is made of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

from ...ir.errors import Remedy, option
from ..calibrate.sources.forms import FORMS
from ..fields import LARGEST, setting, shell_name
from ..ort.trials import PROVIDERS, Trials, trials_of
from ..validation import OptionError, check_fields, whole_numbers

if TYPE_CHECKING:
    from ...ir.graph.sizes import Setting
    from ...ir.io.load import Model
    from ...ir.plan.grain import Grain
    from ...ir.plan.wanted import Wanted
    from ...passes.planning.settings import PlanSettings
    from ..calibrate.annealer import Annealer
    from ..calibrate.dataset import Labelled
    from ..ort.library import Choice

__all__ = [
    *("Lowerings", "OptimizeKeywords", "OptimizeOptions", "PlanKeywords", "PlanOptions", "ReportKeywords"),
    *("SHARED", "ReportOptions", "agreed", "annealer_of", "refuse_idle", "refuse_shaping", "resolve"),
    "with_inputs_of",
]

Lowerings: TypeAlias = "str | Sequence[str] | None"
# What plans and trials both say, and must not contradict; what a plan that is there leaves open.
SHARED = ("provider", "threads", "sizes", "tf32", "custom_ops")
UNSHAPING = (*SHARED, "batch", "device")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """What blocks to look for, what to predict for, and what not to leave to prices.

    Whatever the device, the plan is the same. Without `batch` costs are predicted for 1, 16 and 256 positions over all
    open dimensions. granularity: what is wider than asked is so because nothing divides it; parts: even in
    multiply-adds; lowering: 'NODE=split' is about one linear. Raises OptionError, which names the option, for a value
    that it cannot have, DeviceError for what is no device, PlanError where it contradicts itself, or names a lowering
    that there is not.
    """

    provider: Choice = setting("auto", "cpu, cuda, or auto: CUDA where it really works", choices=PROVIDERS)
    device: str = setting(
        "auto", "where weights are analysed: cpu, cuda, cuda:1, mps, xpu, or auto: CUDA for large models"
    )
    threads: int | None = setting(None, "threads of ONNX Runtime (default: its own choice)", least=1, most=1024)
    batch: int | Sequence[int] | None = setting(
        None,
        "size of the inputs' leading open dimension (repeatable; else 1, 16, 256 over all open ones)",
        flags=("--batch", "--rows"),
        metavar="N",
        least=1,
        most=LARGEST,
    )
    sizes: Mapping[str, int] | None = setting(
        None, "size of a symbolic dimension (repeatable)", flags=("--size",), metavar="NAME=N"
    )
    fix: Mapping[str, int] | None = setting(
        None,
        "give a symbolic dimension this size for good, and fold what is computed from it (repeatable)",
        metavar="NAME=N",
    )
    tf32: bool = setting(True, "on CUDA, round the factors of float32 products to 10 bits, as ONNX Runtime does")
    custom_ops: Sequence[Path] = setting((), "library of custom operators (repeatable)", metavar="LIB")
    force: bool = setting(False, "split whatever splits, also where that is slower, into every block")
    granularity: int | None = setting(None, "no block wider than N features", metavar="N", least=1, most=LARGEST)
    parts: int | None = setting(None, "N groups of blocks, even in multiply-adds", metavar="N", least=1, most=LARGEST)
    lowering: Lowerings = setting(
        None,
        "how every linear that splits is written, or one of them (repeatable), whatever that costs: scatternd, "
        "which is Gather, MatMul of each block, ScatterND; split, scatter, permute, batched, grouped, select, dense",
        metavar="[NODE=]NAME",
    )
    regions: bool = setting(True, "split operators together where that gains more, or one by one")
    forests: bool = setting(True, "write forests of decision trees in the operators that are fastest for them")
    convolutions: bool = setting(
        True, "write Fourier transforms and convolutions as the smallest convolutions, hard sigmoids as one operator"
    )
    factors: bool = setting(
        True, "write weights that are products of smaller ones, as of transforms and Kronecker products, as these"
    )
    channels: bool = setting(True, "leave out channels, units and heads that are dead or constant")
    branches: bool = setting(True, "merge branches that are alike where that gains, or leave them apart")
    exact: bool = setting(False, "keep channels that only weights below all rounding read")

    def __post_init__(self) -> None:
        from ...passes.connectivity.device import require_device_name

        check_fields(self)
        require_device_name(self.device)
        _ = self.grain, self.wanted
        twice = [name for name, size in (self.fix or {}).items() if (self.sizes or {}).get(name, size) != size]
        if twice:
            raise OptionError(
                option("fix"), " and ", option("sizes", flag="--size"), f" say two sizes of {twice[0]!r}; leave out one"
            )

    @property
    def batches(self) -> tuple[int, ...] | None:
        """The sizes of the leading open dimension that were given, None for none."""
        return whole_numbers("batch", self.batch)

    @property
    def grain(self) -> Grain:
        """How large blocks are to be."""
        from ...ir.plan.grain import Grain

        return Grain(granularity=self.granularity, parts=self.parts)

    @property
    def wanted(self) -> Wanted:
        """Which lowerings linears are to have."""
        from ...ir.plan.wanted import Wanted

        return Wanted.of(*([self.lowering] if isinstance(self.lowering, str) else self.lowering or ()))

    @property
    def _prepared(self) -> dict[str, bool]:
        """Which kinds of preparations are looked for."""
        return {
            "forests": self.forests,
            "convolutions": self.convolutions,
            "frames": self.factors and self.convolutions,
            "hierarchical": self.factors,
            "factors": self.factors,
            "channels": self.channels,
            "branches": self.branches,
        }

    @property
    def planned_sizes(self) -> Mapping[str, int] | None:
        """The sizes that costs are predicted for, those that are fixed among them."""
        return {**(self.sizes or {}), **self.fix} if self.fix else self.sizes

    def settings(self, model: Model) -> PlanSettings:
        """The same for planning a model, with what follows from this machine.

        Raises OptionError for no provider, InputError where a size is to be fixed that is not open.
        """
        from ...passes.lowering.target import threads_of
        from ...passes.planning.settings import PlanSettings
        from ..inputs.sizes.settings import settled_sizes

        return PlanSettings(
            provider=resolve(self.provider),
            batch=self.batches,
            fix=settled_sizes(model, self.fix) if self.fix else {},
            threads=threads_of(self.threads),
            tf32=self.tf32,
            force=self.force,
            device=self.device,
            regions=self.regions,
            grain=self.grain,
            wanted=self.wanted,
            unprepared=frozenset(kind for kind, wanted in self._prepared.items() if not wanted),
            exact=self.exact,
        )

    def sized(self, model: Model) -> Callable[[], tuple[Setting, ...]]:
        """What finds the sizes that costs are predicted for. Raises InputError for sizes of what is not open, and for a
        batch where other sizes leave nothing open."""
        from ..inputs.sizes.agreement import refuse_contradictions
        from ..inputs.sizes.settings import settings_of

        refuse_contradictions(model, self.batches, Trials(sizes=self.planned_sizes), fixed=self.fix or ())
        return settings_of(model, self.batches, self.planned_sizes)


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizeOptions:
    """What `optimize` does besides planning, and by what annealing is judged.

    data, labels: labelled samples, as arrays or files of them. Raises OptionError, which names the option, for a value
    that it cannot have.
    """

    tune: bool = setting(False, "measure the ways to split each operator on this machine and keep the fastest")
    cache: bool = setting(True, "reuse and keep what --tune measured")
    check: bool = setting(True, "prove the result equal")
    bench: bool = setting(True, "measure, and keep the original where it is faster")
    data: Labelled | Mapping[str, Any] | str | os.PathLike[str] | None = setting(
        None, f"labelled inputs to judge annealing by: {FORMS}", metavar="DATA"
    )
    labels: Any = setting(None, "their labels, in the same forms", metavar="FILE")
    max_drop: str | None = setting(None, "how much a metric may lose, such as 'argmax<=0.01'", metavar="METRIC<=X")
    overwrite: bool = setting(False, "replace the output if it exists")

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def cache_file(self) -> Path | None:
        """The file that keeps what is measured, None where nothing is, or nothing is kept."""
        from ..tune.cache import cache_path

        return cache_path() if self.tune and self.cache else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOptions:
    """What a report holds. check, bench: None where that is done if there is a rewritten model; command: the line that
    makes the report again, None for the one that this call is on the command line. Raises OptionError, which names the
    option, for a value that it cannot have."""

    check: bool | None = setting(None, "compare the outputs of both models (with OUT)")
    bench: bool | None = setting(None, "time both models (with OUT)")
    overwrite: bool = setting(False, "replace the output if it exists")
    command: str | None = setting(None, "the line that makes the report again")

    def __post_init__(self) -> None:
        check_fields(self)


class PlanKeywords(TypedDict, total=False):
    """The fields of PlanOptions as keywords, for type checkers."""

    provider: Choice
    device: str
    threads: int | None
    batch: int | Sequence[int] | None
    sizes: Mapping[str, int] | None
    fix: Mapping[str, int] | None
    tf32: bool
    custom_ops: Sequence[Path]
    force: bool
    granularity: int | None
    parts: int | None
    lowering: Lowerings
    regions: bool
    forests: bool
    convolutions: bool
    factors: bool
    channels: bool
    branches: bool
    exact: bool


class OptimizeKeywords(PlanKeywords, total=False):
    """Those of PlanOptions and OptimizeOptions."""

    tune: bool
    cache: bool
    check: bool
    bench: bool
    data: Labelled | Mapping[str, Any] | str | os.PathLike[str] | None
    labels: Any
    max_drop: str | None
    overwrite: bool


class ReportKeywords(PlanKeywords, total=False):
    """Those of PlanOptions and ReportOptions."""

    check: bool | None
    bench: bool | None
    overwrite: bool
    command: str | None


def agreed(options: PlanOptions, trials: Trials | None) -> tuple[PlanOptions, Trials]:
    """Options of a plan and trials that say the same of what both know: what only one of the two says counts for both.

    Raises OptionError where they contradict each other.
    """
    trials = trials_of(trials)
    both: dict[str, Any] = {}
    options = replace(options, sizes=options.planned_sizes)
    for name in SHARED:
        planned, run, plain = getattr(options, name), getattr(trials, name), getattr(Trials(), name)
        if plain not in (planned, run) and planned != run:
            raise OptionError(f"{name} is {planned!r} of the plan and {run!r} of the trials; give one of the two")
        both[name] = run if planned == plain else planned
    return replace(options, **both), replace(trials, **both)


def with_inputs_of(model: Model, options: PlanOptions, trials: Trials) -> tuple[PlanOptions, Trials]:
    """Options and trials that agree, with what a file says of the inputs of the model; raises InputError as
    `with_file` does."""
    from ..inputs.feeds.inputs_file import with_file

    trials = with_file(model, trials, batch=options.batches, fixed=options.fix or ())
    return replace(options, sizes=trials.sizes), trials


def annealer_of(anneal: Annealer | str | None) -> Annealer | None:
    """How to anneal, None where that was not asked for. Raises AnnealOptionsError or TypeError for what says no way."""
    if anneal is None:
        return None
    from ..calibrate.annealer import as_annealer

    return as_annealer(anneal)


def refuse_idle(further: OptimizeOptions, anneal: Annealer | None) -> None:
    """Raise AnnealOptionsError for what annealing is judged by where nothing is annealed."""
    idle = [name for name in ("data", "labels", "max_drop") if getattr(further, name) is not None]
    if anneal is not None or not idle:
        return
    from ..calibrate.annealer import AnnealOptionsError

    how = Remedy("anneal=…", "--anneal METHOD")
    raise AnnealOptionsError(option(idle[0]), " says by what annealing is judged, and nothing is annealed; give ", how)


def refuse_shaping(options: PlanOptions) -> None:
    """Raise OptionError for what would shape a plan, where there is one already."""
    for field in fields(PlanOptions):
        if field.name not in UNSHAPING and getattr(options, field.name) != field.default:
            told = Remedy(field.name, shell_name(field, off=getattr(options, field.name) is False))
            raise OptionError(told, " says how to plan, and the plan is given; leave out one of the two")


def resolve(provider: str) -> str:
    """'cpu' or 'cuda' for 'auto', without waking ONNX Runtime where there is no NVIDIA driver anyway.

    Raises OptionError for a provider that there is not.
    """
    if provider in ("cpu", "cuda"):
        return provider
    if provider != "auto":
        raise OptionError(f"provider {provider!r} is none of {', '.join(PROVIDERS)}")
    if os.name == "posix" and not Path("/dev/nvidiactl").exists() and not Path("/dev/dxg").exists():
        return "cpu"
    from ..ort.library import cuda_problem

    return "cpu" if cuda_problem() else "cuda"
