"""Training that keeps, moves and watches structure, with torch, which nothing else here needs.

Entry: `split.split`.
May import: ir, ir.plan, passes.connectivity, passes.decompose, passes.decompose.cover, runtime.upgrade.modules.
"""
