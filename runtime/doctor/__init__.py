"""What scission finds on this machine: versions, providers, prices, places, and what is amiss.

Entry: `examination.examined`.
May import: passes.lowering, runtime.ort, runtime.render, runtime.render.text, runtime.tune.
"""
