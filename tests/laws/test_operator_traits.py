"""What operators are stands in one module: nowhere else in `ir` or `passes` is a set of their names spelt out."""

import ast

import onnx.defs
import pytest
from modules import MODULES, tree

from scission.ir.graph import operators

HOME = operators.__name__
TRAITS = {name: value for name, value in vars(operators).items() if name.isupper() and name != "STANDARD"}
OPERATORS = {schema.name for schema in onnx.defs.get_all_schemas_with_history()}.union(*TRAITS.values())
ELSEWHERE = [name for name in MODULES if name.startswith(("scission.ir.", "scission.passes.")) and name != HOME]


def sets_of_operators(module):
    """Displays of operator names: of three and more anywhere, of two where a module gives them a name."""
    named = {
        n for top in module.body if isinstance(top, ast.Assign | ast.AnnAssign | ast.AugAssign) for n in ast.walk(top)
    }
    keyed = {
        n for top in named if isinstance(top, ast.Call) and ast.unparse(top.func) == "dict.fromkeys" for n in top.args
    }
    for n in ast.walk(module):
        if isinstance(n, ast.Set | ast.List | ast.Tuple) and len(n.elts) >= (2 if n in named - keyed else 3):
            told = {e.value for e in n.elts if isinstance(e, ast.Constant)}
            if len(told) == len(n.elts) and told <= OPERATORS and n not in keyed:
                yield n.lineno, told


@pytest.mark.parametrize("module", ELSEWHERE)
def test_no_other_module_spells_out_a_set_of_operators(module):
    assert list(sets_of_operators(tree(module))) == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("A = frozenset({'Add', 'Mul'})", 1),
        ("A |= ('Add', 'Mul')", 1),
        ("if op in ('Add', 'Mul', 'Sub'): pass", 1),
        ("if op in ('Loop', 'Scan'): pass", 0),
        ("A = {'Add': 1, 'Mul': 2, 'Sub': 3}", 0),
        ("A = {**dict.fromkeys(('Conv', 'FusedConv'), rule)}", 0),
        ("A = {'rows', 'columns'}", 0),
    ],
)
def test_the_law_sees_sets_of_operators(text, count):
    assert len(list(sets_of_operators(ast.parse(text)))) == count
