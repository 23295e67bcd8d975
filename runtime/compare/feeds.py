"""The inputs that two models are run on: random ones that mean something, of sizes that run, reaching every branch."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ...ir.io.load import Model
from ..inputs.canary import Canary, canary_for
from ..inputs.drawing import STYLES
from ..inputs.feeds.drawn import drawn
from ..inputs.feeds.profiles import profile_of
from ..inputs.inputs import shape_of
from ..inputs.meaning import meanings
from ..inputs.sizes.agreement import contradiction, led, refuse_other_sizes
from ..inputs.sizes.room import Room
from ..inputs.sizes.runnable import runnable
from ..inputs.sizes.settings import given_sizes, settings_of, turns_of
from ..inputs.sizes.size_facts import derive
from ..inputs.sizes.size_search import TRIALS, candidate_sizes, lengthened, sizes_beyond
from ..inputs.spec import spec_of
from ..inputs.wishes import wishes_of
from ..measure.duration import shortest_run, timed_within
from ..notes import LoweredWarning
from ..ort.library import SessionError
from ..ort.session import Session, open_session
from ..ort.tensor_spec import TensorSpec
from .exercise import observe, parts_of
from .real_inputs import real_feeds
from .selections import unpicked
from .unexercised import PartReport, part_reports

if TYPE_CHECKING:
    from ..ort.trials import Trials

__all__ = ["Observed", "bench_feeds", "candidate_feeds", "observed_reports"]

Feed: TypeAlias = "dict[str, Any]"

GUESS = 1 << 22  # elements of inputs of a size that is only a guess
MOST = 12  # trials, where inputs choose between many ways
LED = 12  # sizes that are tried with a batch that was asked for
WIDER = 28  # trials besides, where a branch did not run
PICKS = 128  # trials besides, where an input picks one entry of a table at a time
PICKING = 1.0  # seconds that those may take
LONGER = 8  # trials besides, in which a sequence is as long as a table
LENGTHENING = 5.0  # seconds that one of those may take


def candidate_feeds(model: Model, trials: Trials, near: Feed | None = None) -> Iterator[Feed]:
    """Random inputs of more and more sizes, the likeliest first; `near` another feed, those of its size before."""
    spec = spec_of(model)
    turns = turns_of(model, spec, trials)
    ways = [candidate_sizes(spec, turn.given, turn.derived or derive(model)) for turn in turns]
    every = dict.fromkeys(
        tuple(one.items()) for turn in itertools.zip_longest(*ways) for one in turn if one is not None
    )
    found = [one for place, one in enumerate(map(dict, every)) if place < TRIALS or _elements(spec, one) <= GUESS]
    if near is None and len(found) < TRIALS and any(one.kind != "mask" for one in meanings(model.graph).values()):
        found = list(itertools.islice(itertools.cycle(found), TRIALS))  # of one size, but not of one value
    if near is not None:
        wanted = sum(np.size(array) for array in near.values())
        found = sorted(found, key=lambda one: abs(math.log2((1 + _elements(spec, one)) / (1 + wanted))))
    room = Room(model, spec, trials, asked=any(turn.given for turn in turns))
    yield from drawn(model, spec, trials, _fitting_only(found, room))
    if profile_of(spec) is not None:  # the name of an input may say what it is not
        yield from drawn(model, spec, trials, _fitting_only(found, room), profiled=False)


def _fitting_only(sizes: Sequence[Mapping[str, int]], room: Room) -> Iterator[Mapping[str, int]]:
    """Those sizes that fit into memory, and where none does the first, as small as it can be."""
    some = bool(sizes) and room.fits(max(sizes, key=lambda one: math.prod(one.values())))  # those within it fit as well
    for one in sizes:
        if room.fits(one):
            some = True
            yield one
    if sizes and not some:
        yield room.lowered(sizes[0])


def _wider_feeds(model: Model, trials: Trials, like: Sequence[Feed]) -> Iterator[Feed]:
    """Feeds of sizes that run, with further values of choices and other floats."""
    spec = spec_of(model)
    sizes = [_sizes_of(spec, feed) for feed in like]
    beyond = sizes_beyond(spec, given_sizes(model, spec, trials), derive(model))
    others = [one for one in beyond if _elements(spec, one) <= GUESS][: WIDER // 2]
    chosen = list(itertools.islice(itertools.chain(others, itertools.cycle(reversed(sizes[:3]))), WIDER))
    yield from drawn(model, spec, trials, chosen, first=len(like), styles=STYLES)


def _sizes_of(spec: Sequence[TensorSpec], feed: Feed) -> dict[str, int]:
    from ..inputs.inputs import UNNAMED

    return {
        dim or UNNAMED: size
        for one in spec
        if one.name in feed
        for dim, size in zip(one.shape, np.shape(feed[one.name]), strict=True)
        if not isinstance(dim, int)
    }


def _elements(spec: Sequence[TensorSpec], sizes: Mapping[str, int]) -> int:
    return sum(math.prod(shape_of(value, sizes)) for value in spec)


def bench_feeds(
    paths: Sequence[Path], model: Model, trials: Trials, batch: Sequence[int] | None, *, timed: bool = True
) -> list[Feed]:
    """Inputs to time models on, one for each batch; where one is refused, the nearest that runs.

    timed: whether sizes that would take too long to time are lowered, as those are that do not fit into memory.
    """
    if trials.inputs is not None:
        return _real(model, trials, batch)[:1]
    spec = spec_of(model)
    given = given_sizes(model, spec, trials)
    stated = spec_of(model, given=True)
    lead = led(stated, given) if batch else None
    sizes: list[Mapping[str, int]] = [setting.sizes for setting in settings_of(model, batch, given)()]
    if lead is not None:
        _tell_idle(model, lead, batch or (), {one[lead] for one in sizes})
    room = Room(model, spec, trials, asked=bool(batch or given))
    sizes = [room.lowered(one, tell=True) for one in sizes]
    options: dict[str, Any] = {"threads": trials.threads, "custom_ops": trials.custom_ops}
    sessions = [open_session(path, provider=trials.provider, **options) for path in paths]
    if timed:
        sizes = [
            timed_within(one, trials.seconds, room, sessions, lambda own: next(drawn(model, spec, trials, [own])))
            for one in sizes
        ]
    sizes = [one for place, one in enumerate(sizes) if one not in sizes[:place]]
    found: list[Feed] = []
    with canary_for(model.graph, paths, trials) as canary:
        for asked, feed in zip(sizes, drawn(model, spec, trials, sizes), strict=True):
            wanted = itertools.chain(
                [feed], _led(model, trials, lead, asked), candidate_feeds(model, trials, near=feed)
            )
            found += _run(model, trials, sessions, wanted, 1, canary, None if lead is None else asked[lead])
            if lead is not None and (size := _sizes_of(stated, found[-1]).get(lead)) != asked[lead]:
                _tell_other(model, trials, lead, asked[lead], size)
    return [feed for place, feed in enumerate(found) if not any(_alike(feed, other) for other in found[:place])]


def _real(model: Model, trials: Trials, batch: Sequence[int] | None = None) -> list[Feed]:
    """The feeds of the user's file, whose sizes are those that he gives besides, where he gives any."""
    assert trials.inputs is not None
    feeds = real_feeds(model, trials.inputs, trials)
    for feed in feeds:
        refuse_other_sizes(spec_of(model, given=True), feed, trials, batch)
    return feeds


def _run(
    model: Model,
    trials: Trials,
    sessions: Sequence[Session],
    feeds: Iterator[Feed],
    wanted: int,
    canary: Canary | None,
    batch: int | None = None,
) -> list[Feed]:
    """Those feeds that run, see `runnable`; where none does since options contradict each other, that is said."""
    try:
        return runnable(sessions, feeds, wanted, names=symbols(spec_of(model)), canary=canary)
    except SessionError as error:
        raise contradiction(model, trials, batch) or error from error


def _led(model: Model, trials: Trials, lead: str | None, asked: Mapping[str, int]) -> Iterator[Feed]:
    """The likeliest feeds of the batch that was asked for, where one was."""
    if lead:
        held = replace(trials, sizes={**(trials.sizes or {}), lead: asked[lead]})
        yield from itertools.islice(candidate_feeds(model, held), LED)


def _tell_idle(model: Model, lead: str, batch: Sequence[int], sizes: Collection[int]) -> None:
    """Warn of a batch that was asked for where the graph fixes another."""
    for one in (one for one in batch if one not in sizes):
        text = f"{model.name} takes {lead or 'a leading open dimension'} = {min(sizes)} only: {one} is not used"
        warnings.warn(text, LoweredWarning, stacklevel=2)


def _tell_other(model: Model, trials: Trials, lead: str, asked: int, size: int | None) -> None:
    """Warn that a batch which was asked for is refused; raises InputError where another option is why."""
    if (found := contradiction(model, trials, asked)) is not None:
        raise found
    text = f"{model.name} refuses {lead or 'a leading open dimension'} = {asked}; {size} is taken instead"
    warnings.warn(text, LoweredWarning, stacklevel=2)


def _alike(one: Feed, other: Feed) -> bool:
    return one.keys() == other.keys() and all(np.shape(one[name]) == np.shape(other[name]) for name in one)


def symbols(spec: Sequence[TensorSpec]) -> list[str]:
    """The names of dynamic dimensions, in order."""
    return list(dict.fromkeys(dim for one in spec for dim in one.shape if isinstance(dim, str) and dim))


class Observed:
    """The feeds that an original is run on, and how often each of its branches and bodies ran with them."""

    def __init__(self, model: Model, trials: Trials, rows: Sequence[int] = ()) -> None:
        """rows: of tables that are to be read up to their ends, where a sequence can be as long as that."""
        self.model, self.trials, self.rows = model, trials, rows
        self.parts = parts_of(model.graph)
        self.feeds: list[Feed] = []
        self.runs: list[tuple[int, ...]] = []

    def choose(self, session: Session) -> list[Feed]:
        """The real inputs where there are some, else random ones that the original runs, until every part was exercised
        or nothing more is likely to."""
        if self.trials.inputs is not None:
            self.feeds = _real(self.model, self.trials)
            self.runs = runs_of(self.model, self.feeds, self.trials) if self.parts else []
            return self.feeds
        wanted = _wanted(meanings(self.model.graph).values())
        with self._canary(session) as canary:
            found = candidate_feeds(self.model, self.trials)
            self.feeds = _run(self.model, self.trials, [session], found, wanted, canary)
            self.feeds += runnable([session], self._picking(session), PICKS, canary=canary)
            self.feeds += runnable([session], self._lengthened(session), LONGER, canary=canary)
        if self.parts:
            self.runs = runs_of(self.model, self.feeds, self.trials)
            self._widen(session)
        return self.feeds

    def _picking(self, session: Session) -> Iterator[Feed]:
        """Feeds of the smallest size that ran, in which inputs that pick one entry of a table pick further ones: all of
        them, or as many as a moment is enough for."""
        wishes, feeds = wishes_of(self.trials), self.feeds
        said = {*wishes.values, *wishes.ranges, *wishes.likes}
        left = {name: some for name, some in unpicked(self.model, feeds).items() if some and name not in said}
        if not left:
            return
        spec, small = spec_of(self.model), min(feeds, key=lambda feed: sum(np.size(array) for array in feed.values()))
        sizes = _sizes_of(spec, small)
        affordable = PICKING / shortest_run(session, small, PICKING / PICKS)
        room = GUESS // max(_elements(spec, sizes), 1)
        count = min(PICKS, max(map(len, left.values())), int(affordable), room)
        further = drawn(self.model, spec, self.trials, [sizes] * count, first=len(feeds))
        for number, feed in enumerate(further):
            picked = {name: some[number % len(some)] for name, some in left.items() if name in feed}
            yield feed | {name: np.full_like(feed[name], entry) for name, entry in picked.items()}

    def _lengthened(self, session: Session) -> Iterator[Feed]:
        """Feeds in which one size is as many as a table has rows, itself or with another one, where that fits and takes
        no more than a moment."""
        if not self.rows or not self.feeds:
            return
        spec, small = spec_of(self.model), min(self.feeds, key=lambda feed: sum(map(np.size, feed.values())))
        sizes, derived = _sizes_of(spec, small), derive(self.model)
        given = given_sizes(self.model, spec, self.trials)
        found = list(lengthened(spec, given, derived, sizes, self.rows))
        room = Room(self.model, spec, self.trials, asked=False)
        pace = shortest_run(session, small, LENGTHENING) / max(_elements(spec, sizes), 1)
        some = [one for one in found if _elements(spec, one) <= GUESS and pace * _elements(spec, one) <= LENGTHENING]
        yield from drawn(self.model, spec, self.trials, [one for one in some if room.fits(one)], first=len(self.feeds))

    def counts(self) -> dict[str, int]:
        """How often each part ran, by place."""
        return most(self.model, self.runs)

    def _widen(self, session: Session) -> None:
        missing = {place for place, part in enumerate(self.parts) if self._most(place) < part.least}
        if not missing or not self.feeds:
            return
        with self._canary(session) as canary:
            more = runnable([session], _wider_feeds(self.model, self.trials, self.feeds), WIDER, canary=canary)
        for feed, counts in zip(more, runs_of(self.model, more, self.trials), strict=True):
            reached = {place for place in missing if counts[place] >= self.parts[place].least}
            if reached:
                missing -= reached
                self.feeds.append(feed)
                self.runs.append(counts)

    def _canary(self, session: Session) -> AbstractContextManager[Canary | None]:
        paths = [session.source] if isinstance(session.source, Path) else []
        return canary_for(self.model.graph, paths, self.trials)

    def _most(self, place: int) -> int:
        return max((counts[place] for counts in self.runs), default=0)


def _wanted(meant: Any) -> int:
    """Trials that go once through all combinations of choices, within reason."""
    ways = math.prod(len(one.values) or 2 for one in meant if one.kind in ("choice", "condition"))
    return min(max(TRIALS, ways), MOST)


def runs_of(model: Model, feeds: Sequence[Feed], trials: Trials) -> list[tuple[int, ...]]:
    """How often each part ran with each feed; never, where the model cannot be watched."""
    try:
        return observe(model, feeds, provider=trials.provider, threads=trials.threads, custom_ops=trials.custom_ops)
    except SessionError:
        return [(0,) * len(parts_of(model.graph))] * len(feeds)


def most(model: Model, runs: Sequence[Sequence[int]]) -> dict[str, int]:
    """How often each part of a model ran at most, by place."""
    return {
        part.place: max((counts[place] for counts in runs), default=0)
        for place, part in enumerate(parts_of(model.graph))
    }


def observed_reports(observed: Observed, changed: Model) -> tuple[PartReport, ...]:
    """What was exercised of the original and of a model that ran on the same feeds."""
    runs = runs_of(changed, observed.feeds, observed.trials) if parts_of(changed.graph) else []
    return part_reports(observed.model, changed, observed.counts(), most(changed, runs))
