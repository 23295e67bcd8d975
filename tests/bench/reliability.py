"""All that may go wrong, from one command: hostile files, signals, crashes, full disks, and models of 100,000 nodes.

    python tests/bench/reliability.py [--only BENCH …] [--share 0.05] [--save]

attacks: models that are no models, and readers given damaged files; hostile_files: pipes, devices, links, outputs that
are inputs; interrupted: signals and `kill -9` at random moments; faults: crashes of ONNX Runtime, disks, writers;
growth: files of millions of fields, and commands at 10,000 and 100,000 nodes. Each is a bench of its own beside this
file, with options of its own. All of it takes hours; a share of the seeds, flips, moments and times is tried by
`--share`, at least one of each. `--save` keeps the figures of each bench under its name.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable

import attacks
import faults
import growth
import hostile_files
import interrupted
from figures import Figure, missed, save, show, told


def few(whole: int, share: float) -> int:
    """A share of so many, at least one."""
    return max(1, round(whole * share))


def interruptions(share: float) -> Iterable[Figure]:
    """Each row at its own number of moments."""
    for row in interrupted.ROWS:
        yield from interrupted.figures([row], few(200 if row == "killed" else 100, share))


def grown(share: float) -> Iterable[Figure]:
    """Files that are read, and, of the whole alone, commands at 100,000 nodes."""
    yield from growth.reading()
    if share == 1:
        yield from growth.figures(["nodes"])


BENCHES: dict[str, Callable[[float], Iterable[Figure]]] = {
    "attacks": lambda share: attacks.figures(tuple(attacks.KINDS), few(2000, share)),
    "hostile_files": lambda share: hostile_files.figures(tuple(hostile_files.KINDS), few(hostile_files.FLIPS, share)),
    "faults": lambda share: faults.figures(times=few(20, share)),
    "interrupted": interruptions,
    "growth": grown,
}


def main() -> int:
    """Measure, print, and keep it where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=tuple(BENCHES), default=tuple(BENCHES))
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    found: list[Figure] = []
    for name in options.only:
        own = told(BENCHES[name](options.share))
        found += own
        if options.save:
            save(name, own, "cpu")
    show(found)
    return int(missed(found))


if __name__ == "__main__":
    sys.exit(main())
