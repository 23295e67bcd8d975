"""Keywords of a test that belong to the trials, and the others."""

import dataclasses

from scission.runtime.ort.trials import Trials

FIELDS = {field.name for field in dataclasses.fields(Trials)}


def trials_of(options):
    """(trials on the CPU unless asked otherwise, the other keywords)."""
    mine = {name: value for name, value in options.items() if name in FIELDS}
    return Trials(**{"provider": "cpu", "seconds": 2.0} | mine), {n: v for n, v in options.items() if n not in mine}
