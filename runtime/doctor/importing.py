"""Whether modules can be imported, found out in processes of their own: one that breaks may end its process."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Sequence

__all__ = ["broken_imports"]

PATIENCE = 120  # seconds


def broken_imports(modules: Sequence[str]) -> dict[str, str | None]:
    """For each module that is installed the last line of why it cannot be imported, None where it can.

    All are imported at once, in processes that see the same places as this one.

    >>> broken_imports(["json", "no_such_module"])
    {'json': None}
    """
    there = [one for one in modules if _installed(one)]
    processes = {one: _importing(one) for one in there}
    return {one: _trouble(process) for one, process in processes.items()}


def _installed(module: str) -> bool:
    """A folder without a file, which an uninstallation may leave behind, is nothing that is installed."""
    try:
        found = importlib.util.find_spec(module)
    except ValueError:  # it was put among the modules by hand, with no word of where it came from
        return True
    return found is not None and found.origin is not None


def _importing(module: str) -> subprocess.Popen[str]:
    line = f"import sys; sys.path[:] = {sys.path!r}; import {module}"
    return subprocess.Popen(
        [sys.executable, "-c", line],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )


def _trouble(process: subprocess.Popen[str]) -> str | None:
    try:
        _, said = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return f"not within {PATIENCE} seconds"
    if not process.returncode:
        return None
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else f"its process ended with status {process.returncode}"
