"""Commands about models in parts.

Entry: `partition.partition`.
May import: runtime, runtime.cli.common, runtime.ort, runtime.render.parts, runtime.serve.
"""
