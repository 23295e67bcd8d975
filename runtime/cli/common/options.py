"""The options that commands share, and what is made of them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

if TYPE_CHECKING:
    from ...calibrate.prepare import Annealer
    from ...ort.session import Choice, GraphChoice
    from ...ort.trials import Trials

__all__ = ["annealer", "bytes_of", "levels_of", "sizes_of", "trials_of", "values_of"]


def _loud(context: typer.Context, option: typer.CallbackParam, wanted: bool) -> bool:
    """Log from now on where that is asked for, unless nothing is to be printed; whichever of the two comes first."""
    if wanted and context.params.get("quiet" if option.name == "verbose" else "verbose"):
        raise typer.BadParameter("--quiet says nothing and --verbose says more; choose one", param_hint="--verbose")
    if wanted and option.name == "verbose":
        from .logs import log_to_stderr

        log_to_stderr()
    return wanted


Input = Annotated[Path, typer.Argument(metavar="IN", help="the model, an .onnx file")]
Output = Annotated[Path, typer.Argument(metavar="OUT", help="where the result goes")]
PlanOutput = Annotated[Path | None, typer.Option("--output", "-o", metavar="PLAN", help="write the plan as JSON")]
First = Annotated[Path, typer.Argument(metavar="A", help="the original model")]
Second = Annotated[Path, typer.Argument(metavar="B", help="the changed model")]
Provider = Annotated[str, typer.Option(help="cpu, cuda, or auto: CUDA where it really works")]
Device = Annotated[
    str, typer.Option(help="where weights are analysed: cpu, cuda, cuda:1, mps, xpu, or auto: CUDA for large models")
]
Threads = Annotated[int | None, typer.Option(help="threads of ONNX Runtime (default: its own choice)", min=1, max=1024)]
Batch = Annotated[
    list[int] | None,
    typer.Option(
        "--batch",
        "--rows",
        metavar="N",
        help="size of the inputs' leading open dimension (repeatable; else 1, 16, 256 over all open ones)",
        min=1,
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="split whatever splits, also where that is slower, into every block")
]
Granularity = Annotated[int | None, typer.Option(metavar="N", help="no block wider than N features", min=1)]
Parts = Annotated[int | None, typer.Option(metavar="N", help="N groups of blocks, even in multiply-adds", min=1)]
Lowering = Annotated[
    list[str] | None,
    typer.Option(
        "--lowering",
        metavar="[NODE=]NAME",
        help="how every linear that splits is written, or one of them (repeatable), whatever that costs: scatternd, "
        "which is Gather, MatMul of each block, ScatterND; split, scatter, gather, batched, grouped, select, dense",
    ),
]
Tune = Annotated[
    bool, typer.Option("--tune", help="measure the ways to split each operator on this machine and keep the fastest")
]
Regions = Annotated[
    bool, typer.Option("--regions/--no-regions", help="split operators together where that gains more, or one by one")
]
Cache = Annotated[bool, typer.Option("--cache/--no-cache", help="reuse and keep what --tune measured")]
Json = Annotated[bool, typer.Option("--json", help="print JSON instead of tables")]
Csv = Annotated[bool, typer.Option("--csv", help="print CSV instead of tables")]
Sort = Annotated[
    str | None,
    typer.Option("--sort", metavar="[-]COLUMN", help="smallest first, with - largest first: density, -covers …"),
]
Reverse = Annotated[bool, typer.Option("--reverse", help="the other way round")]
Filter = Annotated[str, typer.Option("--filter", metavar="TEXT", help="only where node, operator or verdict has it")]
Top = Annotated[int | None, typer.Option("--top", metavar="N", help="only the first N", min=1)]
All = Annotated[bool, typer.Option("--all", help="show every node")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", callback=_loud, help="print nothing but errors")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", callback=_loud, help="log the seconds of each phase on stderr")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace the output if it exists")]
Inputs = Annotated[Path | None, typer.Option(metavar="FILE.npz", help="real inputs instead of random ones")]
Size = Annotated[list[str] | None, typer.Option("--size", metavar="NAME=N", help="size of a symbolic dimension")]
Values = Annotated[
    list[str] | None,
    typer.Option("--value", metavar="NAME=V", help="what an input holds: V, or V,W,… (repeatable: trials take turns)"),
]
Ranges = Annotated[
    list[str] | None, typer.Option("--range", metavar="NAME=LO:HI", help="numbers an input is drawn from (repeatable)")
]
Likes = Annotated[
    list[str] | None,
    typer.Option("--like", metavar="NAME=KIND", help="an input of ones, zeros, mask, lengths or random (repeatable)"),
]
Seed = Annotated[int, typer.Option(help="seed of the random inputs", min=0)]
Rtol = Annotated[float | None, typer.Option(help="allowed error relative to the largest output (by type)", min=0)]
Atol = Annotated[float | None, typer.Option(help="allowed absolute error besides", min=0)]
Seconds = Annotated[
    float,
    typer.Option(help="the longest time to spend on each input size; less where it is clear which is faster", min=0.01),
]
CudaGraph = Annotated[
    str, typer.Option(metavar="auto|on|off", help="on CUDA, time models as CUDA graphs: auto where both can be")
]
Memory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="the most that running models may take, such as 2GB or 0.5GiB (default: half of what is free)",
    ),
]
CustomOps = Annotated[list[Path] | None, typer.Option(metavar="LIB", help="library of custom operators")]
DEFAULTS = {  # of the options of annealing that mean nothing without a method
    **dict.fromkeys(("method", "init", "initial", "veto"), None),
    **dict.fromkeys(("literal", "drop_strays", "refit", "exposed", "accept_null"), False),
    "axis": "inputs",
    "alpha": 0.05,
    "correction": "bonferroni",
    "strays": 100,
}
Method = Annotated[
    str | None,
    typer.Option(
        "--anneal",
        metavar="METHOD",
        help="remove weights that learning did not confirm (lossy): auto, blocks, neyman, walk, edges, norm, "
        "consistency, sequences, paper, support, update",
    ),
]
Alpha = Annotated[float, typer.Option(help="level of the test over a whole weight", min=0, max=1)]
Correction = Annotated[str, typer.Option(help="for many tests: bonferroni, none, benjamini-hochberg")]
Init = Annotated[
    str | None,
    typer.Option(metavar="SCHEME", help="how weights were initialised: torch_linear, normal:0.02, bert, like:TENSOR …"),
]
Initial = Annotated[
    Path | None, typer.Option(metavar="FILE", help="the checkpoint that training began with (onnx, safetensors, torch)")
]
Literal = Annotated[bool, typer.Option("--literal", help="remove edge by edge, not only what lies outside the blocks")]
Strays = Annotated[int, typer.Option(help="entries outside the blocks that 'blocks' may keep beside them", min=0)]
DropStrays = Annotated[bool, typer.Option("--drop-strays", help="remove such entries")]
Axis = Annotated[
    str,
    typer.Option(metavar="inputs|outputs", help="whose influence sums to one in walk, edges, consistency …"),
]
AcceptNull = Annotated[
    bool, typer.Option("--accept-null", help="anneal edge by edge though a weight contradicts its initialisation")
]
Refit = Annotated[bool, typer.Option("--refit", help="fit the surviving blocks again on the data, by least squares")]
Veto = Annotated[float | None, typer.Option(help="largest relative change of an operator's outputs on the data", min=0)]
Exposed = Annotated[bool, typer.Option("--exposed", help="a weight that the data never exposed is not confirmed")]
Data = Annotated[Path | None, typer.Option(metavar="FILE.npz", help="labelled inputs to judge annealing by")]
Labels = Annotated[Path | None, typer.Option(metavar="FILE", help="their labels, .npy or .npz")]
MaxDrop = Annotated[
    str | None, typer.Option(metavar="METRIC<=X", help="how much a metric may lose, such as 'argmax<=0.01'")
]


def trials_of(
    provider: str,
    threads: int | None,
    inputs: Path | None,
    size: list[str] | None,
    seed: int,
    rtol: float | None,
    atol: float | None,
    seconds: float,
    custom_ops: list[Path] | None,
    cuda_graph: str = "auto",
    wishes: tuple[list[str] | None, list[str] | None, list[str] | None] = (None, None, None),
    memory: str | None = None,
) -> Trials:
    """How two models are run; raises typer.BadParameter for an unknown provider or choice, or a size that is none, and
    NoMemoryError for a size of memory that is none."""
    from ...ort.trials import Trials

    if provider not in ("auto", "cpu", "cuda"):
        raise typer.BadParameter(f"{provider!r} is none of auto, cpu, cuda", param_hint="--provider")
    if cuda_graph not in ("auto", "on", "off"):
        raise typer.BadParameter(f"{cuda_graph!r} is none of auto, on, off", param_hint="--cuda-graph")
    return Trials(
        provider=cast("Choice", provider),
        threads=threads,
        inputs=inputs,
        sizes=sizes_of(size),
        values=values_of(wishes[0] or []),
        ranges=dict(map(range_of, wishes[1] or [])),
        likes=dict(map(like_of, wishes[2] or [])),
        seed=seed,
        rtol=rtol,
        atol=atol,
        seconds=seconds,
        custom_ops=tuple(custom_ops or ()),
        cuda_graph=cast("GraphChoice", cuda_graph),
        memory=bytes_of(memory),
    )


def bytes_of(memory: str | None) -> int | None:
    """Bytes of a size of memory, None without one; raises NoMemoryError for one that is none."""
    from ...ort.memory import parse_bytes

    return None if memory is None else parse_bytes(memory)


def sizes_of(size: list[str] | None) -> dict[str, int]:
    """Sizes of open dimensions by name; raises typer.BadParameter for one that is none."""
    return dict(map(size_of, size or []))


def size_of(text: str) -> tuple[str, int]:
    name, sign, number = text.rpartition("=")
    if not sign or not number.isdecimal() or len(number) > 12 or int(number) < 1:
        raise typer.BadParameter(f"{text!r} is not NAME=N with N at least 1", param_hint="--size")
    return name, int(number)


def values_of(texts: list[str]) -> dict[str, tuple[Any, ...]]:
    """What inputs hold, by name, each of the values given for it; 'V,W' is a list. Raises typer.BadParameter.

    >>> values_of(["sr=16000", "sr=8000", "shape=-1,48"])
    {'sr': (16000, 8000), 'shape': ([-1, 48],)}
    """
    found: dict[str, tuple[Any, ...]] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name or not value:
            raise typer.BadParameter(f"{text!r} is not NAME=V", param_hint="--value")
        parts = [_literal(part) for part in value.split(",")]
        found[name] = (*found.get(name, ()), parts if len(parts) > 1 else parts[0])
    return found


def _literal(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text.strip()


def range_of(text: str) -> tuple[str, tuple[float, float]]:
    name, sign, bounds = text.rpartition("=")
    low, colon, high = bounds.partition(":")
    try:
        found = float(low), float(high)
    except ValueError:
        found = math.nan, math.nan
    if not sign or not colon or not -math.inf < found[0] <= found[1] < math.inf:
        raise typer.BadParameter(f"{text!r} is not NAME=LO:HI with numbers LO <= HI", param_hint="--range")
    return name, found


def like_of(text: str) -> tuple[str, str]:
    from ...inputs.drawing import LIKES

    name, sign, kind = text.rpartition("=")
    if not sign or kind not in LIKES:
        raise typer.BadParameter(f"{text!r} is not NAME=KIND with KIND one of {', '.join(LIKES)}", param_hint="--like")
    return name, kind


def levels_of(text: str | None) -> tuple[float, ...]:
    """The levels of a list such as '0.05,1e-3'; raises typer.BadParameter for anything that is none."""
    found = []
    for part in (text or "").split(",") if text is not None else []:
        try:
            level = float(part)
        except ValueError:
            level = -1.0
        if not 0 < level < 1:
            raise typer.BadParameter(f"{part!r} is no level between 0 and 1", param_hint="--levels")
        found.append(level)
    return tuple(found)


def annealer(**options: Any) -> Annealer | None:
    """Options of annealing as one value, None without a method.

    Raises typer.BadParameter for a word that is none of the choices, or other options of annealing without a method.
    """
    if options["method"] is None:
        if idle := [
            name for name, value in options.items() if name not in ("seed", "device") and value != DEFAULTS[name]
        ]:
            hint = "--" + idle[0].replace("_", "-")
            raise typer.BadParameter("says how to anneal; give --anneal METHOD as well", param_hint=hint)
        return None
    from typing import get_args

    from ....passes.anneal.edges.correction import Correction as Corrections
    from ....passes.anneal.edges.random_walk import Source
    from ....passes.anneal.model import METHODS
    from ...calibrate.prepare import Annealer

    for name, choices in (("method", METHODS), ("correction", get_args(Corrections)), ("axis", get_args(Source))):
        if options[name] not in choices:
            hint = "--anneal" if name == "method" else f"--{name}"
            raise typer.BadParameter(f"{options[name]!r} is none of {', '.join(choices)}", param_hint=hint)
    if not 0 < options["alpha"] < 1:
        raise typer.BadParameter(f"{options['alpha']} does not lie between 0 and 1", param_hint="--alpha")
    return Annealer(**options)
