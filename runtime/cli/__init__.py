"""The command line.

Entry: `entry.main`, `app.main`.
May import: ir, ir.supervision, runtime, runtime.cli.commands, runtime.cli.commands.machine,
runtime.cli.commands.parts, runtime.cli.commands.training, runtime.cli.common, runtime.cli.supervise.
"""
