"""Pages that are made of the code when the site is built: commands, options, functions, and files of the root."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

import scission
from scission.runtime.cli.app import app

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).parents[2]
FILES = {"contributing.md": "CONTRIBUTING.md", "security.md": "SECURITY.md", "changes.md": "CHANGELOG.md"}
OPTIONS = ("PlanOptions", "OptimizeOptions", "ReportOptions", "Trials", "Annealer", "SweepOptions", "PartitionOptions")
OPTIONS += (
    "DecomposeOptions",
    "ServeOptions",
    "FleetOptions",
    "SimulateOptions",
    "TritonOptions",
    "ComposeOptions",
    "KServeOptions",
)
FUNCTIONS = {  # what the page of functions has sections for; what is in none of them stands under `Values and errors`
    "Split a model": ("optimize", "plan", "apply", "check", "bench", "fix_shapes", "optimize_folder"),
    "Look at a model": (
        "inspect",
        "explain",
        "diff",
        "report",
        "structure",
        "structure_sweep",
        "cover",
        "sweep",
        "decompose",
    ),
    "Inside other tools": ("export", "SplitPass"),
    "Parts and services": (
        *("partition", "check_parts", "load_parts", "count_activation", "serve", "serve_fleet", "simulate"),
        *("export_triton", "export_compose", "export_kserve"),
    ),
}


def commands() -> Iterator[str]:
    """Every command with its arguments and options, from what the command line itself is made of."""
    yield "# Commands\n\nMade of the command line when this page was built: `scission COMMAND --help` says the same.\n"
    yield from _commands(typer.main.get_command(app), "scission")


def _commands(group: Any, above: str) -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{above} {name}")
        else:
            yield from _command(command, f"{above} {name}")


def _command(command: Any, name: str) -> Iterator[str]:
    context = command.make_context(name, [], resilient_parsing=True)
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"## {name}\n\n{inspect.cleandoc(command.help or '')}\n\n```text\n{name} {usage}\n```\n"
    rows = [_row(one, context) for one in command.params if not getattr(one, "hidden", False)]
    if rows:
        yield "\n".join(["| argument or option | value | what it is |", "| --- | --- | --- |", *rows]) + "\n"


def _row(one: Any, context: Any) -> str:
    flags = ", ".join(f"`{flag}`" for flag in (*one.opts, *one.secondary_opts))
    if one.param_type_name == "argument":
        flags = f"`{one.make_metavar(context)}`"
    told = dict(one.get_help_extra(context)) if hasattr(one, "get_help_extra") else {}
    metavar = "" if getattr(one, "is_flag", False) or one.param_type_name == "argument" else one.make_metavar(context)
    default = f" Default: `{told['default']}`." if told.get("default") else ""
    return f"| {flags} | {cell(metavar)} | {cell(one.help or '')}.{cell(default)} |"


def cell(text: str) -> str:
    """A text that is the cell of a table."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;").rstrip(".")


def options() -> Iterator[str]:
    """The fields of every dataclass of options, which are the options of commands as well."""
    yield (
        "# Options in Python\n\nFunctions take the fields of these values as keywords, or the values themselves; the "
        "options of commands are the same fields.\n"
    )
    for name in OPTIONS:
        kind = getattr(scission, name)
        yield f"## scission.{name}\n\n{inspect.cleandoc(kind.__doc__)}\n"
        rows = ["| field | type | default | what it says |", "| --- | --- | --- | --- |"]
        for field in dataclasses.fields(kind):
            told = field.metadata["setting"].help if "setting" in field.metadata else ""
            default = "" if field.default is dataclasses.MISSING else repr(field.default)
            rows.append(f"| `{field.name}` | `{cell(str(field.type))}` | `{cell(default)}` | {cell(told)} |")
        yield "\n".join(rows) + "\n"


def functions() -> Iterator[str]:
    """A directive for every public name; what it says is read out of the source."""
    yield "# Functions and classes\n\nAll of it is in `scission`; importing that is instant.\n"
    shown = {name for names in FUNCTIONS.values() for name in names} | set(OPTIONS)
    rest = [name for name in scission.__all__ if name not in shown and name != "__version__"]
    errors = [name for name in rest if name.endswith("Error")]
    parts = {
        **FUNCTIONS,
        "Values": [name for name in rest if name not in errors],
        "Errors": errors,
    }
    for title, names in parts.items():
        yield f"## {title}\n"
        yield from (f"::: scission.{name}\n" for name in names)
    for module in ("graphsurgeon", "torch"):
        yield f"## scission.{module}\n"
        yield from (f"::: scission.{module}.{name}\n" for name in names_in(module))


def names_in(door: str) -> list[str]:
    """What a module of the front door hands on; torch need not be there for that."""
    source = ast.parse((ROOT / "src" / "scission" / f"{door}.py").read_text(encoding="utf-8"))
    return sorted(one.name for n in source.body if isinstance(n, ast.ImportFrom) and n.level for one in n.names)


def root_file(name: str) -> str:
    """A file of the root, whose links lead to the pages of docs/."""
    text = (ROOT / name).read_text(encoding="utf-8")
    for page, path in FILES.items():
        text = text.replace(f"]({path}", f"]({page}")
    return text.replace("](docs/", "](")


def on_startup(**_: object) -> None:
    """Put the package together from its folders as an installation does, for what reads its source."""
    whole = ROOT / "build" / "source" / "scission"
    whole.mkdir(parents=True, exist_ok=True)
    for home in (
        *(ROOT / "src" / "scission").iterdir(),
        *(ROOT / name for name in ("ir", "passes", "runtime", "models")),
    ):
        with contextlib.suppress(FileExistsError):  # sites may be built beside each other
            (whole / home.name).symlink_to(home)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    from mkdocs.structure.files import File

    made = {
        "reference/commands.md": "\n".join(commands()),
        "reference/options.md": "\n".join(options()),
        "reference/python.md": "\n".join(functions()),
    }
    made |= {page: root_file(name) for page, name in FILES.items()}
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files
