"""Events under two groups: stored as core/v1, shown as events.k8s.io/v1 to those who ask there."""

from __future__ import annotations

from partita_plugins.testing.apiserver.errors import Json
from partita_plugins.testing.apiserver.resources import Resource
from partita_plugins.testing.apiserver.store import Stored, encode

_RENAMED = (
    ("note", "message"),
    ("regarding", "involvedObject"),
    ("reportingController", "reportingComponent"),
    ("deprecatedCount", "count"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedSource", "source"),
)
"""Field of events.k8s.io/v1, and its name in core/v1."""

EVENTS_MAX = 5000
"""Events kept; the oldest go first, where a real server would drop them after an hour."""


def is_new_style(resource: Resource) -> bool:
    return resource.group == "events.k8s.io"


def to_stored(resource: Resource, obj: Json) -> Json:
    """The object as it is kept, from one as this resource shows it."""
    if not is_new_style(resource):
        return obj
    return _rename(obj, dict(_RENAMED), "v1")


def to_shown(resource: Resource, obj: Json) -> Json:
    """The object as this resource shows it, from one as it is kept."""
    if not is_new_style(resource):
        return obj
    return _rename(obj, {old: new for new, old in _RENAMED}, resource.api_version)


def shown_bytes(resource: Resource, found: Stored) -> bytes:
    return encode(to_shown(resource, found.object)) if is_new_style(resource) else found.raw


def _rename(obj: Json, names: dict[str, str], api_version: str) -> Json:
    renamed = {names.get(key, key): value for key, value in obj.items()}
    return renamed | {"apiVersion": api_version}
