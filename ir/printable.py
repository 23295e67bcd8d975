"""Text that strangers wrote, as it may be shown: nothing in it commands a terminal, or reads in another order."""

from __future__ import annotations

import unicodedata

__all__ = ["is_text", "printable", "printable_lines"]

JOINERS = "\u200c\u200d"  # that part or join what they stand between, as Persian words and emoji of a family have them
LATIN = "\u024f"  # the last letter of scripts in which a joiner would do nothing but hide
JOINED = ("L", "M", "So", "Sk")  # categories of letters, of marks on them, of emoji and the tones of their skin


def is_text(path: str) -> bool:
    """Whether all of a path could be decoded: what could not be is in it as surrogates.

    >>> is_text("é.onnx"), is_text("\\udce9.onnx")
    (True, False)
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(text: str) -> str:
    """The same on one line, with an escape for each character that is not printed.

    Those are control characters (ESC, C1, CR, BS, NUL, tabs, line feeds), marks that turn the direction of reading or
    are not seen, surrogates, which no stream can encode, and all blanks but the plain one. Joiners stay where scripts
    need them: between two letters of scripts other than Latin, or two emoji.

    >>> print(printable("a\\x1b[2Jb"), printable("\\u202egpj.exe"), printable("one\\ntwo\\x85"), printable("naïve 線"))
    a\\x1b[2Jb \\u202egpj.exe one\\ntwo\\x85 naïve 線
    """
    if text.isprintable():
        return text
    around = zip(text, " " + text, text[1:] + " ", strict=False)
    return "".join(
        one if one.isprintable() or _joins(one, *sides) else one.encode("unicode_escape").decode()
        for one, *sides in around
    )


def _joins(one: str, before: str, after: str) -> bool:
    """Whether a character is a joiner that stands where one belongs."""
    sides = (before, after)
    return one in JOINERS and all(side > LATIN and unicodedata.category(side).startswith(JOINED) for side in sides)


def printable_lines(text: str) -> str:
    """The same of text that has lines of its own: line feeds stay.

    >>> printable_lines("one\\ntwo\\r").splitlines()
    ['one', 'two\\\\r']
    """
    return text if text.isprintable() else "\n".join(map(printable, text.split("\n")))
