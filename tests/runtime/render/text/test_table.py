import io

from rich.console import Console

from scission.runtime.render.text.table import make_table


def test_a_table_has_its_title_and_its_columns():
    table = make_table("title", ("left", "left"), ("right", "right"))
    table.add_row("a", "1")
    stream = io.StringIO()
    Console(file=stream, width=40).print(table)
    lines = [line.rstrip() for line in stream.getvalue().splitlines() if line.strip()]
    assert lines == ["title", "left  right", "a         1"]
