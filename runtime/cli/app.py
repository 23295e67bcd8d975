"""The command line: `scission optimize | plan | apply | check | bench | sweep | inspect | explain | structure |
cover | diff | report | partition | activation | export | serve | top | simulate | cache | doctor |
monitor | decompose`.

Exit status: 0 fine, 1 the check failed, 2 bad input or usage, 3 a defect of scission itself, 4 a check that found no
difference, but in which a part that differs never ran.
"""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import warnings
from typing import Annotated

import typer

from ...ir.errors import ScissionError
from ..notes import show_notes
from ..say import say, say_lines
from .commands.apply import apply
from .commands.bench import bench
from .commands.check import check
from .commands.cover import cover
from .commands.diff import diff
from .commands.explain import explain
from .commands.inspect import inspect
from .commands.machine.cache import cache_app
from .commands.machine.doctor import doctor
from .commands.optimize import optimize
from .commands.parts.activation import activation
from .commands.parts.export import export_app
from .commands.parts.partition import partition
from .commands.parts.simulate import simulate
from .commands.plan import plan
from .commands.report import report
from .commands.serve import serve
from .commands.structure import structure
from .commands.sweep import sweep
from .commands.top import top
from .commands.training.decompose import decompose
from .commands.training.monitor import monitor
from .commands.training.retrain import retrain
from .common.listing import Listing
from .common.logs import stop_logging
from .common.usage import UsageError, usage_message

__all__ = ["app", "main"]

COMMANDS = (
    optimize,
    plan,
    apply,
    check,
    bench,
    sweep,
    inspect,
    explain,
    structure,
    cover,
    diff,
    report,
    partition,
    activation,
    serve,
    top,
    simulate,
    doctor,
    monitor,
    decompose,
    retrain,
)  # in help

app = typer.Typer(
    name="scission",
    cls=Listing,
    help="Split the dense weights of ONNX models into the independent blocks hidden in them.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,  # boxes leave help no room at 80 columns
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from ... import __version__

        say(f"scission {__version__}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="print the version")]


@app.callback()
def _root(version: Version = False) -> None:
    pass


for command in COMMANDS:
    app.command()(command)
app.add_typer(export_app)
app.add_typer(cache_app)


def main() -> None:
    """Run the command line in this process; every expected error is one line on stderr and exit status 2."""
    if sys.stderr is None:  # closed by the caller
        sys.stderr = io.StringIO()
    for stream in (sys.stdout, sys.stderr):  # a name that this locale cannot show is no reason to fail
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    stop_logging()
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # what a library thinks of a weight is no answer to what was asked
    show_notes()
    logging.getLogger("onnx_ir").setLevel(logging.CRITICAL)  # what matters of it comes back as our own message
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # whoever read our output has seen enough; 1 would say "failed"
    try:
        status = app(
            prog_name="scission", standalone_mode=False
        )  # the name also under `python -m`: completion needs it
        sys.exit(status if isinstance(status, int) else 0)
    except UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help
            say_lines(str(error))
        else:
            say(f"error: {usage_message(error)}", err=True)
        sys.exit(2)
    except typer.Abort:
        sys.exit(130)
    except ScissionError as error:
        say("error: " + " ".join(error.for_shell.splitlines()), err=True)
        sys.exit(2)
    except OSError as error:
        what = "the output could not be printed" if error.filename is None else "it could not be read or written"
        where = "" if error.filename is None else f"{error.filename}: "
        say(f"error: {where}{error.strerror or error}: {what}", err=True)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(2)
    except MemoryError as error:  # of this machine, or of what the process may use
        what = f" ({error})" if str(error) else ""
        say(f"error: there is not enough memory for this{what}; free some, or give a part of it", err=True)
        sys.exit(2)
    except Exception as error:
        if isinstance(error, ImportError) and not (error.name or "").startswith("scission"):
            say(f"error: {' '.join(str(error).split())}; is all of it installed, and is there memory for it?", err=True)
            sys.exit(2)
        import traceback

        say_lines(traceback.format_exc(), err=True)
        say("error: this is a defect of scission; please report it with the lines above", err=True)
        sys.exit(3)
