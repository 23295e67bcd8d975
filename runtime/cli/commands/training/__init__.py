"""Commands about training.

Entry: `monitor.monitor`.
May import: ir.io, runtime.cli.common, runtime.render, runtime.render.picture, runtime.upgrade.monitor.
"""
