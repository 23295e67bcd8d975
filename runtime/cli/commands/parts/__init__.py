"""Commands about models in parts.

Entry: `partition.partition`.
May import: runtime, runtime.calibrate.sources, runtime.cli.common, runtime.export, runtime.ort, runtime.render.parts,
  runtime.serve, runtime.simulate.
"""
