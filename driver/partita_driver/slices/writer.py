"""The one writer of a node's slices: one request after the other, and what the API server made of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from partita_driver.fault_points import reached
from partita_driver.slices.contents import ALL_FEATURES, SliceContent, content_of, dropped
from partita_driver.slices.feature_probe import KeptFields
from partita_driver.slices.mirror import SliceMirror
from partita_driver.slices.plan import Accepted, Owner, Verb, Write, plan_writes
from partita_plugins.errors import Retryable
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.errors import Conflict, NotFound
from partita_plugins.kube.resources import RESOURCE_SLICES
from partita_plugins.wire.resource_slice import ResourceSlice


class SliceWriter:
    """Brings the API server's slices to what they should be. For one caller at a time."""

    def __init__(self, api: KubeApi, mirror: SliceMirror, kept: KeptFields) -> None:
        self._api, self._mirror, self._kept = api, mirror, kept
        self._accepted: dict[str, Accepted] = {}
        self.generation = 0
        """The highest that was written."""

        self.writes = 0
        """How many there ever were."""

    def write(
        self, current: Mapping[str, ResourceSlice], contents: Sequence[SliceContent], owner: Owner
    ) -> Mapping[str, ResourceSlice]:
        """Write what differs. Returns all slices as they are stored then.

        Raises ApiError, or Retryable where the API server dropped fields; the mirror has what was learnt until then.
        """
        there = dict(current)
        for write in plan_writes(current, contents, owner, accepted=self._accepted, generation=self.generation):
            name = write.slice.metadata.name
            if stored := self._write(write):
                there[name] = stored
            else:
                del there[name]
            self.writes += 1
            reached("slice-written")
        return there

    def _write(self, write: Write) -> ResourceSlice | None:
        """The slice as stored; None where it was deleted."""
        entry = write.slice
        name = entry.metadata.name
        try:
            if write.verb is Verb.DELETE:
                self._api.delete(RESOURCE_SLICES, name, options=_preconditions(entry))
                self._mirror.drop(name)
                return None
            raw = (
                self._api.create(RESOURCE_SLICES, entry)
                if write.verb is Verb.CREATE
                else self._api.replace(RESOURCE_SLICES, name, entry)
            )
        except NotFound:
            self._mirror.drop(name)
            raise
        except Conflict:
            self._read(name)
            raise
        stored = msgspec.json.decode(raw, type=ResourceSlice)
        self._learn(entry, stored)
        return stored

    def _read(self, name: str) -> None:
        """What somebody else made of a slice, which may be nothing."""
        try:
            self._mirror.take(self._api.get(RESOURCE_SLICES, name, as_=ResourceSlice))
        except NotFound:
            self._mirror.drop(name)

    def _learn(self, sent: ResourceSlice, stored: ResourceSlice) -> None:
        name = sent.metadata.name
        mine, theirs = content_of(name, sent.spec), content_of(name, stored.spec)
        self._mirror.put(stored)
        self._accepted[name] = Accepted(sent=mine, stored=theirs)
        self.generation = max(self.generation, stored.spec.pool.generation)
        kept = dropped(mine, theirs)
        self._kept.learn(kept)
        if kept != ALL_FEATURES:
            raise Retryable("the API server dropped fields", delay_seconds=0.0)


def _preconditions(entry: ResourceSlice) -> dict[str, object]:
    versions = {"uid": entry.metadata.uid, "resourceVersion": entry.metadata.resource_version}
    return {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": versions}
