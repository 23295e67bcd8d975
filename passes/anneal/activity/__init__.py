"""What calibration data say of a linear: activations, the error of removed edges, a refit.

Entry: `activity.Activity`.
May import: ir, ir.plan, passes.connectivity.
"""
