"""What is known of the values of a model before it runs, by their names."""

from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.passes.channels.bounds.forward import facts_of

__all__ = ["facts"]


def facts(proto):
    """(the values that nodes compute, by name; what is known of them)."""
    seen = view(load(proto).graph)
    values = {value.name: value for node in seen.model.graph for value in node.outputs}
    return values, facts_of(seen.model, seen.found.constants)
