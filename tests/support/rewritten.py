"""Models that are rewritten in tests."""

import scission
from scission.ir.provenance import ORIGIN


def plan(model, **options):
    return scission.plan(model, provider="cpu", threads=1, **{"force": True, "regions": False, **options})


def origin(node):
    return {p.key: p.value for p in node.metadata_props}.get(ORIGIN)
