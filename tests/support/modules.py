"""Every module of the package and what stands in it, for laws about the source."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOMES = {"ir": ROOT / "ir", "passes": ROOT / "passes", "runtime": ROOT / "runtime", "models": ROOT / "models"}
FILES = {
    f"scission.{'.'.join(path.relative_to(ROOT).with_suffix('').parts)}": path
    for home in HOMES.values()
    for path in sorted(home.rglob("*.py"))
}
FILES |= {f"scission.{path.stem}": path for path in sorted((ROOT / "src" / "scission").glob("*.py"))}
MODULES = {name.removesuffix(".__init__"): path for name, path in FILES.items()}


def tree(module):
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))
