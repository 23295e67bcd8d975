"""What a model is fed trial by trial: by its graph, its signature, what the user says, and the file beside it.

Entry: `drawn.drawn`, `inputs_file.with_file`.
May import: ir, ir.files, ir.graph, ir.io, runtime, runtime.inputs, runtime.inputs.sizes, runtime.ort.
"""
