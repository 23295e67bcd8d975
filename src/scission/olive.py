"""scission as passes of Olive.

import olive
from scission.olive import package_config

olive.run(workflow, package_config=package_config())   # passes: {"split": {"type": "ScissionSplit"}}
package_config("package.json")                         # olive run --config workflow.json --package-config package.json
"""

from __future__ import annotations

from .runtime.tools.olive_package import package_config
from .runtime.tools.olive_partition import ScissionPartition
from .runtime.tools.olive_pass import ScissionSplit, ScissionSweep

__all__ = ["ScissionPartition", "ScissionSplit", "ScissionSweep", "package_config"]
