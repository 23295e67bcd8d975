"""The command line.

Entry: `app.main`.
May import: ir, runtime, runtime.cli.commands, runtime.cli.common.
"""
