"""Random models of every storage form and with every field, written again: what is wrong, lost or overwritten.

python tests/bench/fuzz.py [--models 5000] [--seed 0]
"""

import argparse
import os
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
warnings.simplefilter("ignore")

from storage_oracle import problems, round_trip_problems  # noqa: E402 - found beside the tests


def main() -> int:
    """Count problems over many seeds; exit status 1 when there are any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    start = time.perf_counter()
    for seed in range(options.seed, options.seed + options.models):
        with tempfile.TemporaryDirectory(prefix="fuzz.") as folder:
            for kind, what in (*problems(seed, Path(folder)), *round_trip_problems(seed, Path(folder))):
                counts[kind] += 1
                examples.setdefault(f"{kind}: {what}"[:80], f"seed {seed}: {kind}: {what}")
    seconds = time.perf_counter() - start
    for example in list(examples.values())[:40]:
        print(example)
    names = ("wrong", "lost", "files", "refused", "invalid")
    print(f"{options.models} models in {seconds:.0f} s ({1000 * seconds / options.models:.0f} ms each)")
    print(", ".join(f"{name} {counts[name]}" for name in names))
    return int(any(counts.values()))


if __name__ == "__main__":
    sys.exit(main())
