"""A complete folder takes the place of another: the old one is put beside it, and goes when the new one is there.

     out ──► out.before-1f3a…        made ──► out        out.before-1f3a… is removed

At no time is neither of them there: who is killed in between leaves both, under names that can be seen.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

__all__ = ["exchange"]


def exchange(made: Path, target: Path) -> None:
    """Move a folder to a place on the same disk, over the folder there, if any; the two swap or nothing happens.

    Raises OSError where the system refuses.
    """
    if not os.path.lexists(target):
        made.rename(target)
        return
    aside = target.with_name(f"{target.name}.before-{os.urandom(4).hex()}")
    target.rename(aside)
    try:
        made.rename(target)
    except BaseException:
        if not os.path.lexists(target):
            aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)
