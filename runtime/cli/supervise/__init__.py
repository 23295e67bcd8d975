"""The command in a process of its own, and the one that waits for it: signals, crashes, time, what is left behind.

Entry: `supervisor.supervise`.
May import: ir, ir.staging, ir.supervision, runtime.
"""
