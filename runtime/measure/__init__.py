"""What is measured of models that run: how long they take, beside one another, and how far their outputs are apart.

Entry: `bench.bench`, `deviation.compare_values`.
May import: ir, ir.io, runtime, runtime.inputs.sizes, runtime.ort.
"""
