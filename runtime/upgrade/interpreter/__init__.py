"""A model of ONNX as a module of torch: its nodes in order, its linears as blocks, and what of it is trained.

Entry: `interpreted.Interpreted`, `program.program_of`, `roles.roles_of`.
May import: ir, ir.graph, ir.io, ir.plan, passes.lowering.linear, runtime.upgrade.modules, runtime.upgrade.operators.
"""
