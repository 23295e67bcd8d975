import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.ir.printable import printable, printable_lines

ANY = st.text(st.characters(codec=None, exclude_categories=()))  # surrogates as well
NEVER = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # what commands a terminal, what turns text, what cannot be written, line ends


NATIVE = st.text(st.sampled_from("aé1 \u200c\u200dیक\u094d線\u2764\ufe0f\U0001f469\U0001f3fd\x1b"))
WORDS = [
    "می\u200cکنم",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467",
    "\u2764\ufe0f\u200d\U0001f525",
    "क\u094d\u200dष",
]


def without_joiners(text):
    """Text without joiners, each of which stands between two things that it joins."""
    for place, one in enumerate(text):
        if one in "\u200c\u200d":
            before, after = text[place - 1], text[place + 1]
            assert place and not before.isascii() and not after.isascii()
            assert {unicodedata.category(side)[0] for side in (before, after)} <= set("LMS")
    return text.replace("\u200c", "").replace("\u200d", "")


@given(ANY | NATIVE)
def test_nothing_is_left_that_commands_a_terminal_or_cannot_be_written(text):
    shown = printable(text)
    assert not NEVER & {unicodedata.category(one) for one in without_joiners(shown)}
    shown.encode()
    assert len(shown.splitlines()) <= 1


@given(ANY | NATIVE)
def test_what_is_shown_tells_what_it_was_and_is_shown_as_it_is(text):
    shown = printable(text)
    assert printable(shown) == shown
    joiners = len(shown) - len(without_joiners(shown))
    kept = [one for one in text if one.isprintable()]
    assert len(shown) - joiners - len(kept) >= 2 * (len(text) - joiners - len(kept))  # an escape for each that is not
    remains = iter(shown)
    assert all(one in remains for one in kept)  # in their order


@given(ANY | NATIVE)
def test_lines_stay_lines_and_each_is_printable(text):
    assert printable_lines(text).split("\n") == [printable(line) for line in text.split("\n")]


@pytest.mark.parametrize("text", ["/model/layers.0/MatMul", "naïve 線 слой", "a  b", ""])
def test_what_is_printed_as_it_is_stays_itself(text):
    assert printable(text) is text


@pytest.mark.parametrize("text", WORDS)
def test_joiners_stay_where_scripts_need_them(text):
    assert printable(text) == text


@pytest.mark.parametrize(
    "text", ["pass\u200cword", "\u200dی", "ی\u200c", "ی\u200c\u200cی", "\u200d", "1\u200d2", "ی\u200c ی", "é\u200dé"]
)
def test_joiners_that_only_hide_are_escaped(text):
    assert printable(text) == text.replace("\u200c", "\\u200c").replace("\u200d", "\\u200d")


def test_every_character_there_is():
    for code in range(sys.maxunicode + 1):
        one = chr(code)
        shown = printable(one)
        assert shown == one or (shown[0] == "\\" and shown.isascii() and shown.isprintable())
