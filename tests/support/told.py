"""Sentences that a module can tell, so that a test can demand an example of each."""

import ast
import inspect
import re


def sentences(module):
    """Regular expressions for the texts of several words in a module's functions, without docstrings and errors."""
    functions = [n for n in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(n, ast.FunctionDef)]
    told = {}
    for function in functions:
        inside = {id(part) for n in ast.walk(function) if isinstance(n, ast.JoinedStr) for part in n.values}
        silent = [n for n in ast.walk(function) if isinstance(n, ast.Raise | ast.Expr)]
        inside |= {id(part) for n in silent for part in ast.walk(n)}
        told |= {pattern(n): n for n in ast.walk(function) if id(n) not in inside}
    return {text for text in told if " " in text.replace("\\ ", " ").replace(".*", "").strip()}


def pattern(text):
    """A piece of source that makes a text, as a regular expression; empty for any other."""
    parts = text.values if isinstance(text, ast.JoinedStr) else [text]
    texts = [None if isinstance(part, ast.FormattedValue) else getattr(part, "value", 0) for part in parts]
    known = all(text is None or isinstance(text, str) for text in texts)
    return "".join(".*" if text is None else re.escape(text) for text in texts) if known else ""
