"""Dimensions that are named after others: 'past_sequence_length + 1', '2*s0', 'floor(s0/2)'."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

__all__ = ["Expression", "parse"]

LONGEST = 200  # characters: more is no name that anybody gave, and Python's parser nests as deep as the text
LARGEST = 1 << 31
POWERS = 8

BINARY: dict[type[ast.operator], Callable[[Fraction, Fraction], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
# As sympy, torch and ONNX Runtime's shape inference write them.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("floor", "FloorToInt", "TruncToInt"), math.floor),
    **dict.fromkeys(("ceil", "ceiling", "CeilToInt"), math.ceil),
    **dict.fromkeys(("max", "Max"), max),
    **dict.fromkeys(("min", "Min"), min),
    **dict.fromkeys(("Mod", "PythonMod"), operator.mod),
    **dict.fromkeys(("IntTrueDiv", "FloatTrueDiv"), operator.truediv),
    **dict.fromkeys(("FloorDiv", "CleanDiv"), operator.floordiv),
    "CeilDiv": lambda a, b: math.ceil(a / b),
    **dict.fromkeys(("ToFloat", "Identity", "abs", "Abs"), abs),
}


@dataclass(frozen=True, slots=True)
class Expression:
    """A dimension as arithmetic over the names of others; text: as the model says it; names: in order of first use."""

    text: str
    names: tuple[str, ...]
    tree: ast.expr

    def size(self, sizes: Mapping[str, int]) -> int | None:
        """The size where the names have these; rounded down, None where it is none (below 0, division by 0).

        >>> parse("floor(s0/2) + 1").size({"s0": 5})
        3
        """
        try:
            found = math.floor(_value(self.tree, sizes))
        except (ArithmeticError, TypeError, ValueError):
            return None
        return found if 0 <= found <= LARGEST else None

    def solve(self, size: int, name: str, sizes: Mapping[str, int]) -> int | None:
        """The smallest size of one name with which the whole has this size, the others being `sizes`; None for none.

        >>> parse("2*s0 + 1").solve(9, "s0", {})
        4
        """
        near = range(1, 4 * size + 64)
        return next((one for one in near if self.size({**sizes, name: one}) == size), None)


def parse(text: str) -> Expression | None:
    """The name of a dimension as an expression; None where it is a plain name, or no arithmetic at all.

    >>> parse("past + 1").names, parse("batch"), parse("not a dimension")
    (('past',), None, None)
    """
    if len(text) > LONGEST:
        return None
    try:
        tree = ast.parse(text, mode="eval").body
        names = tuple(dict.fromkeys(_names(tree)))
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None
    if isinstance(tree, ast.Name | ast.Attribute) or not names:
        return None
    return Expression(text=text, names=names, tree=tree)


def _names(tree: ast.expr) -> Iterator[str]:
    """Names in order; raises ValueError for what is no arithmetic."""
    match tree:
        case ast.Name() | ast.Attribute():
            yield ast.unparse(tree)
        case ast.Constant(value=int() | float()):
            pass
        case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
            yield from _names(tree.operand)
        case ast.BinOp() if type(tree.op) in BINARY or isinstance(tree.op, ast.Pow):
            yield from _names(tree.left)
            yield from _names(tree.right)
        case ast.Call(func=ast.Name(id=name), keywords=[]) if name in FUNCTIONS and tree.args:
            for argument in tree.args:
                yield from _names(argument)
        case _:
            raise ValueError(f"{ast.dump(tree)} is no arithmetic")


def _value(tree: ast.expr, sizes: Mapping[str, int]) -> Fraction:
    match tree:
        case ast.Constant():
            return Fraction(tree.value)  # type: ignore[arg-type]
        case ast.UnaryOp():
            value = _value(tree.operand, sizes)
            return -value if isinstance(tree.op, ast.USub) else value
        case ast.BinOp(op=ast.Pow()):
            base, power = _value(tree.left, sizes), _value(tree.right, sizes)
            if power.denominator != 1 or not 0 <= power <= POWERS:
                raise ValueError("no power of sizes")
            return base ** int(power)
        case ast.BinOp():
            return Fraction(BINARY[type(tree.op)](_value(tree.left, sizes), _value(tree.right, sizes)))
        case ast.Call(func=ast.Name(id=name)):
            return Fraction(FUNCTIONS[name](*(_value(argument, sizes) for argument in tree.args)))
        case _:
            name = ast.unparse(tree)
            if name not in sizes:
                raise ValueError(f"{name} has no size")
            return Fraction(sizes[name])
