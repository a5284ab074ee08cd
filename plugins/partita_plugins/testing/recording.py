"""Events as cluster components write them: one object per pod, reason and text, counted up when it happens again."""

from __future__ import annotations

import hashlib

from partita_plugins.testing.apiserver.errors import ApiError
from partita_plugins.testing.apiserver.metadata import timestamp
from partita_plugins.testing.kubeapi import Json, KubeApi

MESSAGE_MAX = 1024


def record_event(
    api: KubeApi,
    about: Json,
    *,
    reason: str,
    message: str,
    component: str,
    kind: str = "Warning",
    host: str = "",
    once: bool = False,
) -> None:
    """Write an event about an object, or count it up; `once` leaves the count, for those who look at every change.

    A refusal is swallowed: a cluster goes on without its events.
    """
    metadata, message = about["metadata"], message[:MESSAGE_MAX]
    namespace = metadata.get("namespace") or "default"
    content = f"{metadata.get('uid')}\0{reason}\0{message}\0{component}"
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    name, now = f"{metadata['name'][:200]}.{digest}", timestamp()
    involved = {"apiVersion": about.get("apiVersion", "v1"), "kind": about.get("kind", "Pod"), "namespace": namespace}
    involved |= {"name": metadata["name"], "uid": metadata.get("uid", "")}
    event: Json = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": namespace}}
    event |= {"involvedObject": involved, "type": kind, "reason": reason, "message": message, "count": 1}
    event |= {"firstTimestamp": now, "lastTimestamp": now, "reportingComponent": component, "reportingInstance": host}
    event |= {"source": {"component": component, "host": host} if host else {"component": component}}
    try:
        api.create(event)
    except ApiError as error:
        if error.reason == "AlreadyExists" and not once:
            _count_up(api, name, namespace, now)


def _count_up(api: KubeApi, name: str, namespace: str, now: str) -> None:
    try:
        count = int(api.get("events", name, namespace).get("count") or 1)
        api.patch("events", name, {"count": count + 1, "lastTimestamp": now}, namespace)
    except ApiError:
        return  # it went away in between; the next one is created anew
