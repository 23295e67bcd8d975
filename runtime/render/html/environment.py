"""What the templates of all pages have in common: nothing that a model says is markup, or hides in a page."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from ....ir.printable import printable

__all__ = ["environment_of_pages"]


def environment_of_pages() -> Environment:
    """An environment whose expressions are escaped for HTML, once what is not printed in them is spelt out.

    >>> environment_of_pages().from_string("{{ name }}").render(name="<b>\\x00\\u202e")
    '&lt;b&gt;\\\\x00\\\\u202e'
    """
    return Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined, finalize=_finalized
    )


def _finalized(value: Any) -> Any:
    """What a macro made of the template is markup already, whose own expressions came through here."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
