"""Components of many weights on a torch device, reading, copying and computing at once.

Entry: `pipeline.stream_components`.
May import: ir, passes.connectivity, passes.connectivity.digraph,
passes.connectivity.transfer.
"""
