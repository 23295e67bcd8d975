"""The worked example of appendix A: its node table, and the picture of it before and after the permutation."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from scission.models.matrices.appendix import adjacency


def main() -> None:
    """Print Table A.2 and write the picture where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", nargs="?", default="structure.svg", type=Path, help="a .png or .svg file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "appendix-a.npy", adjacency())
        command = ["structure", "appendix-a.npy", "--paper", "--from-one", "--overwrite"]
        command += ["--picture", str(options.picture.absolute())]
        sys.exit(subprocess.run([sys.executable, "-m", "scission", *command], cwd=folder).returncode)


if __name__ == "__main__":
    main()
