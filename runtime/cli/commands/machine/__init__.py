"""Commands about this machine: what was measured on it, what is installed.

Entry: `doctor.doctor`, `cache.list_`.
May import: runtime, runtime.cli.common, runtime.doctor, runtime.ort, runtime.render.text, runtime.tune.
"""
