import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.ir.printable import printable, printable_lines

ANY = st.text(st.characters(codec=None, exclude_categories=()))  # surrogates as well
NEVER = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # what commands a terminal, what turns text, what cannot be written, line ends


@given(ANY)
def test_nothing_is_left_that_commands_a_terminal_or_cannot_be_written(text):
    shown = printable(text)
    assert not NEVER & {unicodedata.category(one) for one in shown}
    shown.encode()
    assert len(shown.splitlines()) <= 1


@given(ANY)
def test_what_is_shown_tells_what_it_was_and_is_shown_as_it_is(text):
    shown = printable(text)
    assert printable(shown) == shown
    kept = [one for one in text if one.isprintable()]
    assert len(shown) - len(kept) >= 2 * (len(text) - len(kept))  # an escape for each that is not
    remains = iter(shown)
    assert all(one in remains for one in kept)  # in their order


@given(ANY)
def test_lines_stay_lines_and_each_is_printable(text):
    assert printable_lines(text).split("\n") == [printable(line) for line in text.split("\n")]


@pytest.mark.parametrize("text", ["/model/layers.0/MatMul", "naïve 線 слой", "a  b", ""])
def test_what_is_printed_as_it_is_stays_itself(text):
    assert printable(text) is text


def test_every_character_there_is():
    for code in range(sys.maxunicode + 1):
        one = chr(code)
        shown = printable(one)
        assert shown == one or (shown[0] == "\\" and shown.isascii() and shown.isprintable())
