"""A function of the user's own is found, or the error says why not and where."""

import pytest

from scission.ir.errors import ScissionError
from scission.runtime.user_function import file_of_module, load_user_function, told


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_function_and_its_file(folder):
    path = folder / "own_module_a.py"
    path.write_text("def f():\n    return 1 / 0\n", encoding="utf-8")
    function, file = load_user_function("text", "own_module_a", "f", ScissionError)
    assert file == str(path) == str(file_of_module("own_module_a"))
    with pytest.raises(ZeroDivisionError) as raised:
        function()
    assert told(raised.value, file) == f"ZeroDivisionError: division by zero ({path}, line 2)"


@pytest.mark.parametrize(
    ("source", "name", "message"),
    [
        (None, "f", r"there is no module 'own_module_none'; .* PYTHONPATH=folder"),
        ("raise KeyError('no')", "f", r"KeyError: 'no' \(.*own_module_b.py, line 1\)"),
        ("import own_module_not_there", "f", "ModuleNotFoundError: No module named 'own_module_not_there'"),
        ("f = 3", "f", "own_module_b.py holds no function 'f'"),
    ],
)
def test_what_cannot_be_loaded(folder, monkeypatch, source, name, message):
    if source is not None:
        (folder / "own_module_b.py").write_text(source, encoding="utf-8")
        monkeypatch.delitem(__import__("sys").modules, "own_module_b", raising=False)
        __import__("importlib").invalidate_caches()
    with pytest.raises(ScissionError, match=f"text: .*{message}"):
        load_user_function("text", "own_module_none" if source is None else "own_module_b", name, ScissionError)
