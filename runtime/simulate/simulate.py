"""`simulate`: what parts on so many machines would do with the requests of a trace."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...ir.errors import option
from ...ir.findings.simulation import PartLoad, Served, Simulation
from ...ir.parts.manifest import Manifest
from ...ir.phase import phase
from ..fields import chosen
from ..ort.trials import Trials, trials_of
from ..serve.folder import read_manifest
from ..validation import OptionError
from .engine import Machines, Outcome, Traffic, happened
from .measuring import measured
from .options import SimulateOptions
from .placement import placed, replicas_for
from .times import ServiceTimes, read_times
from .trace import LONGEST, Trace, TraceError, read_trace

__all__ = ["simulate"]

MOST = 5 * 10**7  # events, of which each takes some microseconds
SHORTEST = 1e-9  # seconds of all requests: no clock measures less


def simulate(
    folder: str | os.PathLike[str],
    trace: str | os.PathLike[str],
    options: SimulateOptions | None = None,
    *,
    times: str | os.PathLike[str] | None = None,
    original: str | os.PathLike[str] | None = None,
    trials: Trials | None = None,
) -> Simulation:
    """Simulate the parts in a folder on many machines, and the model that is not cut on as many.

    trace: the log of `scission serve`, or lines of JSON with "at" in seconds and "parts" by name; options: machines and
    requests; times: JSON of an earlier simulation, by default they are measured here, in a server of these parts;
    original: the model that is not cut, to be measured as well, where else all parts one after another stand for it;
    trials: provider, threads and libraries of custom operators of what is measured. Each part lies on as many machines
    as its share of the load.
    Raises ManifestError for a folder that is none, TraceError for a trace or times that are none or of other parts,
    OptionError for an option that cannot be and for more than can be simulated in minutes, SessionError or InputError
    for parts that cannot be run, and ScissionError where they cannot be served.
    """
    place, wished = Path(folder), chosen(SimulateOptions, options, {})
    manifest = read_manifest(place)
    found = read_trace(Path(trace), [part.name for part in manifest.parts])
    count = wished.requests or len(found.at)
    steps = count * (4 + 2 * sum(map(len, found.parts)) / len(found.parts))
    if steps > MOST:
        raise OptionError(f"{steps:.0e} events would take too long; simulate fewer with ", option("requests", 100_000))
    if times is None:
        seen = measured(place, manifest, found, trials_of(trials), wished.seconds, original)
    else:
        seen = read_times(Path(times), manifest)
    with phase("simulate"):
        return _simulated(manifest, found, seen, wished, count)


def _simulated(
    manifest: Manifest, trace: Trace, times: ServiceTimes, wished: SimulateOptions, count: int
) -> Simulation:
    machines, cores = wished.machines, wished.own_cores
    load = trace.counts(len(manifest.parts)) * np.array([np.mean(seconds) for seconds in times.parts])
    holders = placed(load, replicas_for(load, machines), machines)
    traffic = Traffic(trace=trace, count=count, speed=wished.speed, clients=wished.clients, beside=wished.beside)
    if not wished.clients and traffic.at(count - 1) > LONGEST:
        raise OptionError(
            f"requests would come for {traffic.at(count - 1):.0e} seconds, more than clocks of floats tell apart; "
            "simulate fewer with ",
            option("requests", 100_000),
            ", or let them come faster with ",
            option("speed"),
        )
    fleet = Machines(machines=machines, cores=cores, holders=holders, levels=_levels(manifest), hop=wished.hop)
    outcome = _lasting(happened(fleet, traffic, times, wished.seed))
    everywhere = [tuple(range(machines))]
    whole = _lasting(
        happened(
            replace(fleet, holders=everywhere, levels=[0], hop=0.0),  # whoever takes a request has all that it needs
            replace(traffic, trace=replace(trace, parts=((0,),) * len(trace.parts))),
            replace(times, parts=(times.whole,)),
            wished.seed,
        )
    )
    sizes = [part.bytes_ for part in manifest.parts]
    return Simulation(
        machines=machines,
        cores=cores,
        requests=count,
        parts=_served(outcome, cores, sum(len(own) * size for own, size in zip(holders, sizes, strict=True))),
        whole=_served(whole, cores, machines * sum(sizes)),
        loads=tuple(
            PartLoad(name=part.name, calls=int(calls), replicas=len(own), busy=float(spent) / outcome.seconds)
            for part, own, calls, spent in zip(
                manifest.parts, holders, outcome.part_calls, outcome.part_seconds, strict=True
            )
        ),
        times=times.to_dict(),
    )


def _lasting(outcome: Outcome) -> Outcome:
    """Raises TraceError for what took no time: there are no answers a second."""
    if outcome.seconds < SHORTEST:
        raise TraceError(
            f"all requests are answered within {outcome.seconds:g} seconds by these times; give times that were "
            "measured, or leave them out to measure these parts"
        )
    return outcome


def _served(outcome: Outcome, cores: int, held: int) -> Served:
    p50, p99 = (float(one) for one in np.quantile(outcome.latencies, (0.5, 0.99)))
    shares = outcome.busy / (cores * outcome.seconds)
    count = len(outcome.latencies)
    return Served(
        per_second=count / outcome.seconds,
        p50=p50,
        p99=p99,
        mean_busy=float(shares.mean()),
        most_busy=float(shares.max()),
        core_seconds=float(outcome.busy.sum()) / count,
        bytes_=held,
    )


def _levels(manifest: Manifest) -> list[int]:
    """For each part, how many go before it at least: one more than those have that make what it reads."""
    made: dict[str, int] = {}
    levels: list[int] = []
    for part in manifest.parts:
        levels.append(max((made[share.value] + 1 for share in part.reads if share.value in made), default=0))
        for share in part.writes:
            made[share.value] = max(made.get(share.value, 0), levels[-1])
    return levels
