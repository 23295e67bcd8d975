"""The Pythons that the package is for, as they are found on a machine."""

import os
import subprocess
import sys
from pathlib import Path

SUPPORTED = (11, 12, 13, 14)  # 3.x


def starts(python, minor):
    """Whether this is a Python 3.minor that runs and makes environments: shims of pyenv may stand for none."""
    line = f"import ensurepip, sys, venv; sys.exit(sys.version_info[:2] != (3, {minor}))"
    try:
        return subprocess.run([python, "-I", "-c", line], capture_output=True, timeout=60, check=False).returncode == 0
    except OSError:
        return False


def interpreter(minor):
    """The first Python 3.minor on this machine that starts, this one where it is of that version, None without any."""
    if sys.version_info[:2] == (3, minor):
        return Path(sys.executable)
    name, home = f"python3.{minor}", Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    named = [Path(folder) / name for folder in os.environ["PATH"].split(os.pathsep) if folder]
    known = sorted(home.glob(f"versions/3.{minor}.*/bin/{name}"))
    uv = sorted((Path.home() / ".local/share/uv/python").glob(f"cpython-3.{minor}.*/bin/{name}"))
    return next((one for one in (*named, *known, *uv) if starts(one, minor)), None)
