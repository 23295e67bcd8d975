"""The difference of two models as one page of HTML that needs nothing else."""

from __future__ import annotations

from pathlib import Path

from ....ir.findings.difference import Difference
from ..text.diff import drift_cells
from ..text.diff_lines import (
    drifts,
    named,
    operators,
    provenance_sentence,
    relations,
    renamed_sentence,
    sources,
    totals,
)
from ..words import megabytes
from .environment import environment_of_pages

__all__ = ["diff_page"]

MOST = 500  # rows of a table on a page; JSON has all of them


def diff_page(found: Difference) -> str:
    """The page, with light and dark colours and ready to be printed; everything that models say is escaped."""
    environment = environment_of_pages()
    environment.filters |= {"ops": operators, "mb": megabytes, "named": named, "of": sources, "drift": drift_cells}
    template = environment.from_string(Path(__file__).with_name("diff_page.html").read_text(encoding="utf-8"))
    return template.render(
        found=found,
        drifts=drifts(found),
        relations=relations(found),
        totals=totals(found),
        renamed=renamed_sentence(found),
        provenance=provenance_sentence(found),
        most=MOST,
    )
