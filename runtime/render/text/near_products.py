"""How near a weight is to a product of smaller ones, in sentences."""

from __future__ import annotations

from ....ir.findings.near_products import NearProduct, NearProducts, SliceRanks

__all__ = ["HEADING", "near_lines"]

HEADING = "how near it is to a product of smaller weights: an analysis, none is exact or applied"


def near_lines(found: NearProducts, parameters: int) -> list[str]:
    """A sentence for each factorisation and each product; parameters: entries of the weight."""
    return [*map(_ranks, found.slices), *(_product(one, parameters) for one in found.products)]


def _ranks(one: SliceRanks) -> str:
    ranks = f"{one.least}" if one.least == one.most else f"{one.least} to {one.most}"
    whole = one.places * one.groups
    of = f"all {whole:,}" if one.looked_at == whole else f"{one.looked_at:,} of {whole:,}"
    return f"{_shape(one)}: rank {ranks} of {one.full} in {of} slices"


def _product(one: NearProduct, parameters: int) -> str:
    blocks = f"{one.places:,} blocks {one.radix}x{one.groups * one.rank}, {one.groups:,} blocks"
    what = f"Monarch, rank {one.rank}: {blocks} {one.places * one.rank}x{one.outputs}"
    if one.how == "kronecker":
        what = f"Kronecker: {one.radix}x{one.groups} times {one.places}x{one.outputs}"
    gain = "" if one.gain is None else f", {one.gain:.2f}x is predicted"
    return f"{what}: {one.macs / parameters:.1%} of the multiply-adds{gain}, loses {one.error:.1%} of the weight"


def _shape(one: SliceRanks) -> str:
    apart = f"{one.groups} apart" if one.strided else "in runs"
    return f"inputs {one.radix}x{one.places}, outputs {one.groups}x{one.outputs} {apart}"
