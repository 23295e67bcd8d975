"""Parts deployed on a Ray cluster: an application of Ray Serve for each part, and one for what is before them.

generation 1:   part0 part1 part2          every request goes through one generation from end to end
                    ▲     ▲
                    ingress ──┐            the switch is one value that each replica of the ingress takes at once
                              ▼
generation 2:   part0 part1 part2          deployed and ready before; where that fails, nothing was switched
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray import serve

from ...ir.errors import ScissionError
from ...ir.parts.manifest import Manifest
from ..http.answering import name_of_model
from ..http.options import ServeOptions
from ..ort.trials import Trials
from ..serve.folder import read_activation, read_manifest, require_files
from ..simulate.trace import read_trace
from .generation import Generation
from .ingress import Ingress
from .options import FleetOptions
from .replica import Replica
from .replicas import running_replicas
from .sharing import shared_out

__all__ = ["Fleet", "deployed"]

INGRESS = "ingress"
LOGGING = {"log_level": "WARNING", "enable_access_log": False}  # a line a call of a part takes longer than small parts
MOMENT, LONGEST = 0.2, 60.0  # seconds between two looks whether requests have ended, and until that is given up
SMALL = 0.05  # cores that an ingress reserves
SPARE = 0.5  # of the cores, which parts do not reserve


class Fleet:
    """Parts that are deployed, and what can be done with them while requests come."""

    def __init__(self, folder: Path, name: str, options: FleetOptions, serving: ServeOptions, trials: Trials) -> None:
        self._options, self._serving, self._trials, self._name = options, serving, trials, name
        self._manifest: Manifest | None = None
        self._shares: list[int] = []
        self.generation: Generation | None = None
        self._number = 0
        self.load(folder)

    def load(self, folder: Path) -> None:
        """Deploy the parts of a folder beside those that are served, and serve them once all of them are ready.

        Those that were served go when their requests have ended. Raises ScissionError where they do not come up or take
        something else: then nothing has changed.
        """
        place = folder.resolve()
        manifest = read_manifest(place)
        for part in manifest.parts:
            require_files(place, part)
        if self._manifest is not None and _interface(manifest) != _interface(self._manifest):
            raise ScissionError(f"{folder}: takes or gives something else than the parts that are served, which go on")
        self._number += 1
        new = Generation(model=self._name, number=self._number, folder=str(place), plan=manifest.plan)
        old, before = self.generation, self._manifest
        shares = shared_out(self._frequencies(place, manifest), self._total(manifest))
        try:
            self._deploy(new, manifest, shares)
            self._switch(new)
        except Exception as error:  # whatever Ray has to say of what does not come up
            if old is not None:
                self._switch(old)
            self._remove(new, manifest)
            raise ScissionError(f"{folder}: its parts do not come up: {str(error).splitlines()[0]}") from error
        self.generation, self._manifest, self._shares = new, manifest, shares
        if old is not None and before is not None:
            self._await_end(old)
            self._remove(old, before)

    def follow(self) -> bool:
        """Share replicas out anew by how often parts were called since their generation began; whether any moved."""
        assert self.generation is not None and self._manifest is not None
        calls = serve.get_app_handle(self._name).calls.remote().result()
        if not any(calls.values()):
            return False
        shares = shared_out([calls.get(part.name, 0) for part in self._manifest.parts], self._total(self._manifest))
        if shares == self._shares:
            return False
        self._deploy(self.generation, self._manifest, shares)
        self._shares = shares
        return True

    def replicas(self) -> dict[str, int]:
        """How many of each part run."""
        return {} if self.generation is None else running_replicas(self.generation)

    def close(self) -> None:
        """Take everything back."""
        serve.delete(self._name)
        if self.generation is not None and self._manifest is not None:
            self._remove(self.generation, self._manifest)

    def _await_end(self, old: Generation) -> None:
        """Wait until no request runs with a generation; twice, for one that is between the choice of it and its run."""
        end, idle = time.monotonic() + (self._serving.deadline or LONGEST), 0
        while idle < 2 and time.monotonic() < end:
            time.sleep(MOMENT)
            idle = 0 if serve.get_app_handle(self._name).running.remote(old.number).result() else idle + 1

    def _total(self, manifest: Manifest) -> int:
        return max(self._options.replicas or 0, len(manifest.parts))

    def _frequencies(self, folder: Path, manifest: Manifest) -> Sequence[float]:
        """How often each part is expected to be called: by a trace, by what was counted of data, or as often as all."""
        if self._options.trace is not None:
            names = [part.name for part in manifest.parts]
            return [float(one) for one in read_trace(self._options.trace, names).counts(len(names))]
        counted = read_activation(folder, manifest)
        return counted.frequency if counted is not None else [1.0] * len(manifest.parts)

    def _deploy(self, generation: Generation, manifest: Manifest, shares: Sequence[int]) -> None:
        cpus = self._options.cpus
        if cpus is None:  # also twice, while a generation takes the place of another one
            cores = ray.cluster_resources().get("CPU", 1.0)
            cpus = math.floor(min(cores * SPARE / (self._options.growth * sum(shares)), 1.0) * 1e4 / 2) / 1e4
        targets = []
        for part, count in zip(manifest.parts, shares, strict=True):
            scaling = {
                "min_replicas": count,
                "initial_replicas": count,
                "max_replicas": max(count, math.floor(self._options.growth * count)),
                "target_ongoing_requests": self._options.ongoing,
                "upscale_delay_s": 5.0,
                "downscale_delay_s": 60.0,
            }
            deployment = serve.deployment(
                Replica,
                name=part.name,
                ray_actor_options={"num_cpus": cpus, "num_gpus": self._options.gpus},
                max_ongoing_requests=max(2 * math.ceil(self._options.ongoing), self._options.batch, 2),
                autoscaling_config=scaling,
                health_check_period_s=2.0,
                logging_config=LOGGING,
            )
            bound = _of_one_version(deployment).bind(
                generation.folder, generation.plan, part.name, self._trials, self._options.batch, self._options.gather
            )
            targets.append(serve.RunTarget(bound, name=generation.application(part.name), route_prefix=None))
        serve.run_many(targets)

    def _switch(self, generation: Generation) -> None:
        """Deploy the ingress, or tell the one that is there."""
        deployment = serve.deployment(
            serve.ingress()(Ingress),
            name=INGRESS,
            num_replicas=1,
            ray_actor_options={"num_cpus": SMALL},
            max_ongoing_requests=2 * (self._serving.workers + self._serving.queue) + 8,
            user_config=generation.to_dict(),
            logging_config=LOGGING,
        )
        serve.run(_of_one_version(deployment).bind(self._name, self._serving), name=self._name, route_prefix="/")

    def _remove(self, generation: Generation, manifest: Manifest) -> None:
        for part in manifest.parts:
            serve.delete(generation.application(part.name), _blocking=False)


def _interface(manifest: Manifest) -> list[list[tuple[str, str, Any]]]:
    """What a model takes and gives, whatever its open sizes are called."""
    return [
        [
            (value.name, value.dtype, value.shape and [size if isinstance(size, int) else None for size in value.shape])
            for value in values
        ]
        for values in (manifest.inputs, manifest.outputs)
    ]


def _of_one_version(deployment: Any) -> Any:
    """A deployment of which only numbers change from now on.

    Ray takes it for other code whenever it is deployed again, and starts other replicas, unless it has a version; there
    is no public way to give it one. Without it requests are not lost either, but ingresses start anew.
    """
    deployment._version = "1"
    return deployment


@contextlib.contextmanager
def deployed(folder: Path, options: FleetOptions, serving: ServeOptions, trials: Trials) -> Iterator[Fleet]:
    """Parts deployed on a cluster, until the context ends.

    Raises ManifestError for a folder that is none, TraceError for such a trace, and ScissionError where there is no
    cluster, or parts do not come up.
    """
    read_manifest(folder)
    with _cluster(options):
        serve.start(http_options={"host": serving.host, "port": serving.port}, logging_config=LOGGING)
        fleet = Fleet(folder, serving.name or name_of_model(folder), options, serving, trials)
        try:
            yield fleet
        finally:
            fleet.close()


@contextlib.contextmanager
def _cluster(options: FleetOptions) -> Iterator[None]:
    """A connection to the cluster, or a cluster of this machine alone."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # of what is run here nothing is reported
    where: Mapping[str, Any] = {"address": options.address} if options.address else {"include_dashboard": False}
    own = not ray.is_initialized()
    try:
        if own:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **where)
            logging.getLogger("ray.serve").setLevel(logging.WARNING)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise ScissionError(f"no Ray cluster: {str(error).splitlines()[0]}") from error
    try:
        yield
    finally:
        if own:
            if options.address is None:
                serve.shutdown()
            ray.shutdown()
