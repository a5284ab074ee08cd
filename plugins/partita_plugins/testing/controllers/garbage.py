"""What goes when its owner has gone, and what goes with its namespace."""

from __future__ import annotations

from partita_plugins.testing.apiserver import ApiError, LocalApi
from partita_plugins.testing.apiserver.resources import RESOURCES
from partita_plugins.testing.kubeapi import Json
from partita_plugins.testing.objects import is_deleting, name_of, namespace_of, owner_uids, uid_of


def collect_garbage(api: LocalApi) -> None:
    """Objects of which no owner exists any more are deleted."""
    found = {row.storage: api.peek(row.storage) for row in RESOURCES}
    alive = {uid_of(obj) for items in found.values() for obj in items}
    for storage, items in found.items():
        for obj in items:
            owners = owner_uids(obj)
            if owners and not is_deleting(obj) and not alive.intersection(owners):
                _delete(api, storage, obj)


def end_namespaces(api: LocalApi) -> None:
    """A namespace that is being deleted takes its content with it, and goes when it is empty."""
    for namespace in api.list("Namespace"):
        if not is_deleting(namespace):
            continue
        content = [
            (row.storage, obj)
            for row in RESOURCES
            if row.namespaced
            for obj in api.peek(row.storage, name_of(namespace))
        ]
        for storage, obj in content:
            if not is_deleting(obj):
                _delete(api, storage, obj)
        if not content:
            api.update({**namespace, "spec": {"finalizers": []}})


def _delete(api: LocalApi, storage: str, obj: Json) -> None:
    try:
        api.delete(storage, name_of(obj), namespace_of(obj), uid=uid_of(obj))
    except ApiError as error:
        if error.code not in (404, 409):
            raise
