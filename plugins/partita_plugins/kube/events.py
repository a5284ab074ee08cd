"""Events for people: one line on the object it concerns, deduplicated by the API server's own count."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.errors import Conflict
from partita_plugins.kube.resources import EVENTS

MAX_MESSAGE = 1024
"""The API server refuses longer messages."""


class EventRecorder:
    """Writes events as one component of one host."""

    def __init__(self, api: KubeApi, component: str, host: str) -> None:
        self._api, self._component, self._host = api, component, host

    def record(self, regarding: dict[str, Any], kind: str, reason: str, message: str) -> None:
        """Write an event. `regarding` has apiVersion, kind, name, namespace, uid; `kind` is Normal or Warning.

        The same event again only raises its count. Raises ApiError or Unavailable.
        """
        namespace = regarding.get("namespace") or "default"
        digest = hashlib.sha256(f"{regarding.get('uid')}{reason}{message}{self._component}".encode()).hexdigest()[:16]
        name = f"{regarding['name'][:200].rstrip('-.')}.{digest}"
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": regarding,
            "type": kind,
            "reason": reason,
            "message": message[:MAX_MESSAGE],
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "source": {"component": self._component, "host": self._host},
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }
        try:
            self._api.create(EVENTS, event, namespace)
        except Conflict:
            self._api.patch(EVENTS, name, {"count": self._count(name, namespace) + 1, "lastTimestamp": now}, namespace)

    def _count(self, name: str, namespace: str) -> int:
        found = self._api.get(EVENTS, name, namespace, as_=dict[str, Any])
        return int(found.get("count") or 1)
