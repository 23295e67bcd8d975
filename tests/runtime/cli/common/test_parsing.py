import pytest
import typer

from scission.runtime.cli.common.parsing import levels_of, sizes_of


def test_two_sizes_of_one_name_are_refused():
    assert sizes_of(["n=2", "m=3", "n=2"]) == {"n": 2, "m": 3}
    with pytest.raises(typer.BadParameter, match="'n' is given twice, as 2 and as 3"):
        sizes_of(["n=2", "n=3"])


def test_levels():
    assert levels_of(None) is None and levels_of("0.05, 1e-30") == (0.05, 1e-30)


@pytest.mark.parametrize("text", ["", "0", "1", "a", "0.1,,0.2", "nan", "-1", "inf"])
def test_levels_that_are_none_are_refused(text):
    with pytest.raises(typer.BadParameter):
        levels_of(text)
