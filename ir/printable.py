"""Text that strangers wrote, as it may be shown: nothing in it commands a terminal, or reads in another order."""

from __future__ import annotations

__all__ = ["is_text", "printable", "printable_lines"]


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
    are not seen, surrogates, which no stream can encode, and all blanks but the plain one.

    >>> print(printable("a\\x1b[2Jb"), printable("\\u202egpj.exe"), printable("one\\ntwo\\x85"), printable("naïve 線"))
    a\\x1b[2Jb \\u202egpj.exe one\\ntwo\\x85 naïve 線
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def printable_lines(text: str) -> str:
    """The same of text that has lines of its own: line feeds stay.

    >>> printable_lines("one\\ntwo\\r").splitlines()
    ['one', 'two\\\\r']
    """
    return text if text.isprintable() else "\n".join(map(printable, text.split("\n")))
