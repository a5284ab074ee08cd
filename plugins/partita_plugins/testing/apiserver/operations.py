"""The verbs: create, get, list, update, patch, delete, over one store. HTTP and Python callers share them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from partita_plugins.testing.apiserver import errors
from partita_plugins.testing.apiserver.errors import Json
from partita_plugins.testing.apiserver.events import EVENTS_MAX, to_shown, to_stored
from partita_plugins.testing.apiserver.metadata import (
    check_name,
    check_version,
    counted_generation,
    is_held,
    keep_system,
    stamp_new,
    timestamp,
)
from partita_plugins.testing.apiserver.options import DeleteOptions, ListOptions
from partita_plugins.testing.apiserver.paging import Page, Pages
from partita_plugins.testing.apiserver.patches import APPLY_PATCH, merge, patched
from partita_plugins.testing.apiserver.resources import Resource
from partita_plugins.testing.apiserver.rules.names import Problems
from partita_plugins.testing.apiserver.rules.pods import GRACE_SECONDS
from partita_plugins.testing.apiserver.rules.table import rules_for
from partita_plugins.testing.apiserver.store import Store, Stored, stored

OBJECTS_MAX = 50_000
"""Objects kept per resource."""

GENERATED_NAME_TRIES = 8


class Operations:
    """All verbs. Each holds the store's lock while it reads and writes, so none sees half of another."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._pages = Pages()

    def create(self, resource: Resource, namespace: str, body: Json, *, dry_run: bool = False) -> Stored:
        _check_kind(resource, body)
        obj = to_stored(resource, stored(body).copy())
        metadata = obj.setdefault("metadata", {})
        if metadata.get("namespace") and metadata["namespace"] != namespace and resource.namespaced:
            raise errors.bad_request("the namespace of the provided object does not match the namespace sent")
        rules = rules_for(resource.storage)
        with self.store.lock:
            self._require_namespace(resource, namespace)
            self._stamp(resource, namespace, obj)
            rules.on_create(obj)
            rules.default(obj, timestamp())
            if rules.counts_generation:
                obj["metadata"]["generation"] = 1
            self._check(resource, obj, None)
            if dry_run:
                return stored(obj)
            self._make_room(resource)
            return self.store.put(resource.storage, obj)

    def get(self, resource: Resource, namespace: str, name: str) -> Stored:
        found = self.store.get(resource.storage, (namespace, name))
        if found is None:
            raise errors.not_found(resource.qualified, name)
        return found

    def list(self, resource: Resource, namespace: str, options: ListOptions) -> Page:
        if options.proceed:
            return self._pages.proceed(options.proceed, options.limit)
        selects = options.selects(resource)
        with self.store.lock:
            found = self.store.select(resource.storage, namespace)
            version = self.store.revision
        chosen = [entry for entry in found if selects(to_shown(resource, entry.object))]
        return self._pages.first(chosen, version, options.limit)

    def update(
        self, resource: Resource, namespace: str, name: str, body: Json, *, subresource: str = "", dry_run: bool = False
    ) -> Stored:
        _check_kind(resource, body)
        with self.store.lock:
            old = self.get(resource, namespace, name)
            return self._update(resource, old, to_stored(resource, body), subresource, dry_run=dry_run)

    def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: object,
        kind: str,
        *,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Stored:
        with self.store.lock:
            old = self.store.get(resource.storage, (namespace, name))
            if old is None and kind == APPLY_PATCH and isinstance(patch, dict) and not subresource:
                named = merge(patch, {"metadata": {"name": name}})
                return self.create(resource, namespace, named, dry_run=dry_run)
            old = self.get(resource, namespace, name)
            shown = to_shown(resource, old.copy())
            body = patched(shown, patch, kind)
            return self._update(resource, old, to_stored(resource, body), subresource, dry_run=dry_run)

    def delete(self, resource: Resource, namespace: str, name: str, options: DeleteOptions) -> tuple[Stored, bool]:
        """The object as it was last seen, and whether it is gone already."""
        with self.store.lock:
            old = self.get(resource, namespace, name)
            wanted = {"uid": options.uid, "resourceVersion": options.resource_version}
            check_version(resource, old, {"metadata": wanted})
            if options.dry_run:
                return old, False
            grace = _grace_seconds(resource, old.object, options)
            if not grace and not is_held(old.object):
                return self.store.remove(resource.storage, old.key), True
            return self._mark_deleted(resource, old, grace), False

    def delete_all(self, resource: Resource, namespace: str, wanted: ListOptions, options: DeleteOptions) -> Page:
        with self.store.lock:
            page = self.list(resource, namespace, wanted)
            for entry in page.items:
                self.delete(resource, entry.key[0], entry.key[1], options)
            return page

    def commit(
        self, resource: Resource, old: Stored, new: Json, *, check: bool = True, dry_run: bool = False
    ) -> Stored:
        """Keep an update; one that changes nothing makes no version, one that frees a deleted object ends it."""
        rules = rules_for(resource.storage)
        rules.default(new, timestamp())
        if rules.counts_generation:
            new["metadata"]["generation"] = counted_generation(old, new)
        if check:
            self._check(resource, new, old.object)
        now = stored(new)
        if dry_run or now.object == old.object:
            return now if dry_run else old
        metadata = new["metadata"]
        if metadata.get("deletionTimestamp") and not metadata.get("deletionGracePeriodSeconds") and not is_held(new):
            self.store.put(resource.storage, new)
            return self.store.remove(resource.storage, now.key)
        return self.store.put(resource.storage, new)

    def _update(self, resource: Resource, old: Stored, body: Json, subresource: str, *, dry_run: bool) -> Stored:
        check_version(resource, old, body)
        if subresource == "status":
            new, status = old.copy(), stored({"status": body.get("status") or {}}).copy()["status"]
            rules_for(resource.storage).on_status(status, old.object)
            new["status"] = status
        else:
            new = stored(body).copy()
            keep_system(old, new)
            new |= {"apiVersion": old.object["apiVersion"], "kind": old.object["kind"]}
            if "status" in resource.subresources:
                new.pop("status", None)
                new |= {"status": old.copy()["status"]} if "status" in old.object else {}
        return self.commit(resource, old, new, dry_run=dry_run)

    def _mark_deleted(self, resource: Resource, old: Stored, grace: int) -> Stored:
        new = old.copy()
        metadata = new["metadata"]
        if metadata.get("deletionTimestamp") and grace >= metadata.get("deletionGracePeriodSeconds", 0):
            return old
        metadata["deletionTimestamp"] = timestamp(datetime.now(UTC) + timedelta(seconds=grace))
        metadata["deletionGracePeriodSeconds"] = grace
        if resource.kind == "Namespace":
            new["status"] = {**new.get("status", {}), "phase": "Terminating"}
        return self.commit(resource, old, new, check=False)

    def _stamp(self, resource: Resource, namespace: str, obj: Json) -> None:
        generated = not obj["metadata"].get("name")
        for attempt in range(GENERATED_NAME_TRIES):
            stamp_new(resource, namespace, obj)
            name = obj["metadata"].get("name", "")
            if self.store.get(resource.storage, (obj["metadata"].get("namespace", ""), name)) is None:
                return
            if not generated or attempt == GENERATED_NAME_TRIES - 1:
                raise errors.already_exists(resource.qualified, name)
            del obj["metadata"]["name"]

    def _require_namespace(self, resource: Resource, namespace: str) -> None:
        if not resource.namespaced:
            return
        found = self.store.get("namespaces", ("", namespace))
        if found is None:
            raise errors.not_found("namespaces", namespace)
        if found.metadata.get("deletionTimestamp"):
            raise errors.forbidden(f"unable to create new content in namespace {namespace}: it is being terminated")

    def _check(self, resource: Resource, obj: Json, before: Json | None) -> None:
        rules, problems = rules_for(resource.storage), Problems()
        if before is None:
            check_name(obj, problems, path_names=rules.path_names)
        try:
            rules.check(obj, before, problems)
        except (AttributeError, KeyError, TypeError) as error:
            raise errors.bad_request(
                f"{resource.kind} in version {resource.version} cannot be handled: {error}"
            ) from error
        if problems:
            name = obj["metadata"].get("name", "")
            raise errors.invalid(resource.kind, resource.group, name, tuple(problems))

    def _make_room(self, resource: Resource) -> None:
        limit = EVENTS_MAX if resource.storage == "events" else OBJECTS_MAX
        if self.store.size(resource.storage) < limit:
            return
        oldest = self.store.oldest(resource.storage)
        if resource.storage != "events" or oldest is None:
            raise errors.forbidden(f"{limit} {resource.plural} are all that the embedded API server keeps; delete some")
        self.store.remove(resource.storage, oldest.key)


def _check_kind(resource: Resource, body: Json) -> None:
    if not isinstance(body, dict) or not isinstance(body.get("metadata", {}), dict):
        raise errors.bad_request("the body must be a JSON object with metadata")
    found = body.setdefault("apiVersion", resource.api_version), body.setdefault("kind", resource.kind)
    if found != (resource.api_version, resource.kind):
        expected = f"{resource.api_version}, Kind={resource.kind}"
        raise errors.bad_request(
            f"the object provided is unrecognized: {found[0]}, Kind={found[1]}, expected {expected}"
        )


def _grace_seconds(resource: Resource, obj: Json, options: DeleteOptions) -> int:
    """How long a node may take to end it; nothing waits for a pod that no node runs."""
    if not rules_for(resource.storage).graceful:
        return 0
    running = obj["spec"].get("nodeName") and obj.get("status", {}).get("phase") not in ("Succeeded", "Failed")
    if not running:
        return 0
    default = obj["spec"].get("terminationGracePeriodSeconds", GRACE_SECONDS)
    return int(default if options.grace_seconds is None else options.grace_seconds)
