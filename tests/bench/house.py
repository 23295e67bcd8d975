"""The measures of the house: `python tests/bench/house.py`.

Prints, from the source alone, each measure beside its target: folders that import each other in a circle, modules in
one folder, the longest file and function, parameters of one function, class names that stand in two modules, comments
in modules that hold a hard algorithm, and how long `import scission` and `scission --help` take beside an empty Python.
`--places N` names the N places where each measure is worst.
"""

from __future__ import annotations

import argparse
import ast
import collections
import graphlib
import io
import statistics
import subprocess
import sys
import time
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOMES = ("ir", "passes", "runtime", "models")
HARD = (  # where a reader needs a paragraph and a picture
    *("passes/planning/axis_orders.py", "passes/decompose/cover/cover.py", "passes/decompose/cover/orders.py"),
    *("passes/diff/constant_provenance.py", "passes/decompose/region.py", "ir/axes/feature_rules.py"),
    *("ir/axes/axis_rule.py", "ir/axes/axis_rules.py", "ir/axes/moving_rules.py", "ir/axes/regrouping.py"),
    *("passes/cocluster/coclustering.py", "passes/connectivity/closure.py", "passes/lowering/linear/padded.py"),
)
Place = tuple[int, str]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--places", type=int, default=1, help="how many of the worst places are named")
    parser.add_argument("--repeats", type=int, default=7, help="starts of Python that are timed")
    options = parser.parse_args()
    files = {path: path.read_text(encoding="utf-8") for home in HOMES for path in sorted((ROOT / home).rglob("*.py"))}
    trees = {path: ast.parse(text) for path, text in files.items()}
    rows: list[tuple[str, str, list[Place]]] = [
        ("circles of folders", "0", circle(trees)),
        ("modules in one folder", "15", largest(folders(files))),
        ("lines of a file", "350", largest(lengths(files))),
        ("lines of a function", "50", largest(function_lengths(trees))),
        ("parameters of a function", "8", largest(parameters(trees))),
        ("class names in two modules", "0", twice(trees)),
    ]
    for what, target, places in rows:
        worst = places[0][0] if places else 0
        named = ", ".join(f"{name} ({count})" for count, name in places[: options.places])
        print(f"{what:28} {worst:6} (target {target}): {named}")
    few = [(comments(files[ROOT / name]), name) for name in HARD if ROOT / name in files]
    for share, name in sorted(few)[: options.places]:
        print(f"{'comments in 100 lines':28} {share:6.1f} (target 6): {name}")
    starts = {"import scission": ("-c", "import scission"), "scission --help": ("-m", "scission", "--help")}
    for what, arguments in starts.items():
        own, empty = start(arguments, options.repeats), start(("-c", ""), options.repeats)
        print(f"{what:28} {1000 * (own - empty):6.0f} ms over an empty Python ({1000 * empty:.0f} ms)")


def largest(places: Iterable[Place]) -> list[Place]:
    """The places, worst first."""
    return sorted(places, key=lambda place: (-place[0], place[1]))


def named(path: Path) -> str:
    """A path as it is written in the repository."""
    return path.relative_to(ROOT).as_posix()


def circle(trees: dict[Path, ast.Module]) -> list[Place]:
    """A circle of folders that import each other, empty where there is none."""
    arrows: dict[str, set[str]] = collections.defaultdict(set)
    for path, tree in trees.items():
        base = path.relative_to(ROOT).parent.parts
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                full = [*base[: len(base) - node.level + 1], *(node.module or "").split(".")]
                target = ROOT.joinpath(*filter(None, full))
                folder = target if target.is_dir() else target.parent
                if folder not in (path.parent, ROOT):
                    arrows[named(path.parent)].add(named(folder))
    try:
        list(graphlib.TopologicalSorter(arrows).static_order())
    except graphlib.CycleError as error:
        return [(1, " -> ".join(error.args[1]))]
    return []


def folders(files: Iterable[Path]) -> Iterator[Place]:
    """Modules of each folder, its `__init__` left out."""
    counts = collections.Counter(path.parent for path in files if path.name != "__init__.py")
    return ((count, named(folder)) for folder, count in counts.items())


def lengths(files: dict[Path, str]) -> Iterator[Place]:
    """Lines of each file."""
    return ((text.count("\n"), named(path)) for path, text in files.items())


def functions(trees: dict[Path, ast.Module]) -> Iterator[tuple[Path, ast.FunctionDef]]:
    """Every function and method."""
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                yield path, node


def function_lengths(trees: dict[Path, ast.Module]) -> Iterator[Place]:
    """Lines of each function, its docstring left out."""
    for path, node in functions(trees):
        body = node.body[1:] if ast.get_docstring(node) else node.body
        lines = (node.end_lineno or node.lineno) - (body[0].lineno if body else node.lineno) + 1
        yield lines, f"{named(path)}:{node.name}"


def parameters(trees: dict[Path, ast.Module]) -> Iterator[Place]:
    """Parameters of each function, `self` left out."""
    for path, node in functions(trees):
        own = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        yield len([name for name in own if name not in ("self", "cls")]), f"{named(path)}:{node.name}"


def twice(trees: dict[Path, ast.Module]) -> list[Place]:
    """Public class names that several modules define; the first count is that of the names."""
    homes: dict[str, list[str]] = collections.defaultdict(list)
    for path, tree in trees.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(named(path))
    both = {name: places for name, places in homes.items() if len(places) > 1}
    return [(len(both), f"{name}: {' and '.join(places)}") for name, places in sorted(both.items())]


def comments(text: str) -> float:
    """Lines of comments in 100 lines."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return 100 * sum(token.type == tokenize.COMMENT for token in tokens) / max(text.count("\n"), 1)


def start(arguments: tuple[str, ...], repeats: int) -> float:
    """Seconds from the start of a Python to its end, the median of several."""
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True, cwd=ROOT)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
