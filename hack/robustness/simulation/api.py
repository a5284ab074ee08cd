"""A model of the API server: claims and slices with versions, watches that lag, and times without an answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from hack.robustness.simulation.runtime import EPOCH
from hack.robustness.simulation.tasks import Process, Task, Tasks

from partita_plugins.kube.errors import Conflict, NotFound, Unavailable
from partita_plugins.kube.resources import RESOURCE_CLAIMS, RESOURCE_SLICES, Resource
from partita_plugins.wire.objects import ObjectMeta
from partita_plugins.wire.resource_claim import AllocatedDeviceStatus, ResourceClaim
from partita_plugins.wire.resource_slice import Device, ResourceSlice

T = TypeVar("T")
Listener = Callable[[Any, Any], None]
"""Called with the old and the new object; None: there was none, or there is none any more."""

SILENCE_SECONDS = 5.0
"""Until a request to a server that is gone fails."""

LAG_SECONDS = 0.2
"""Longest delay of a watch, usually."""


class Server:
    """What is in etcd. Objects are frozen: a reader keeps what it read."""

    def __init__(self, tasks: Tasks) -> None:
        self.tasks = tasks
        self.claims: dict[tuple[str, str], ResourceClaim] = {}
        self.slices: dict[str, ResourceSlice] = {}
        self.down = False
        self.slow_seconds = 0.0
        self.losing_chance = 0.0
        """That a request takes effect and its answer is lost."""

        self.requests: Counter[str] = Counter()
        """How often something was asked, in plain words."""

        self.version = 0
        self._watches: list[Watch] = []

    def uid(self) -> str:
        """A UID that was never given out before."""
        self.version += 1
        return f"00000000-0000-4000-8000-{self.version:012d}"

    def put_claim(self, claim: ResourceClaim) -> ResourceClaim:
        """Store under a new version."""
        key = claim.metadata.namespace, claim.metadata.name
        self.version += 1
        metadata = msgspec.structs.replace(claim.metadata, resource_version=str(self.version))
        old = self.claims.get(key)
        stored = self.claims[key] = msgspec.structs.replace(claim, metadata=metadata)
        self._tell(RESOURCE_CLAIMS, old, stored)
        return stored

    def drop_claim(self, claim: ResourceClaim) -> None:
        """Delete it."""
        del self.claims[claim.metadata.namespace, claim.metadata.name]
        self._tell(RESOURCE_CLAIMS, claim, None)

    def put_slice(self, entry: ResourceSlice) -> ResourceSlice:
        """Store under a new version; the UID stays that of the first."""
        name, old = entry.metadata.name, self.slices.get(entry.metadata.name)
        self.version += 1
        uid = old.metadata.uid if old else f"slice-{self.version}"
        metadata = msgspec.structs.replace(entry.metadata, uid=uid, resource_version=str(self.version))
        now = datetime.fromtimestamp(EPOCH + self.tasks.now, UTC).isoformat()
        devices = [_stamped(device, now) for device in entry.spec.devices]
        spec = msgspec.structs.replace(entry.spec, devices=devices)
        stored = self.slices[name] = msgspec.structs.replace(entry, metadata=metadata, spec=spec)
        self._tell(RESOURCE_SLICES, old, stored)
        return stored

    def drop_slice(self, name: str) -> None:
        if old := self.slices.pop(name, None):
            self._tell(RESOURCE_SLICES, old, None)

    def watch(self, process: Process, listener: Listener, resource: Resource = RESOURCE_SLICES) -> Watch:
        """Changes from now on, and what there is first; ends with its process."""
        self._watches = [one for one in self._watches if one.process.alive]
        self._watches.append(Watch(self, process, listener, resource))
        return self._watches[-1]

    def all(self, resource: Resource) -> list[Any]:
        """Every object of a kind, by name."""
        found: dict[Any, Any] = dict(self.claims if resource is RESOURCE_CLAIMS else self.slices)
        return [entry for _, entry in sorted(found.items())]

    def told(self, process: Process) -> bool:
        """Has this process heard of every change?"""
        return all(not watch.behind for watch in self._watches if watch.process is process)

    def _tell(self, resource: Resource, old: object, new: object) -> None:
        for watch in self._watches:
            if watch.resource is resource:
                watch.tell(old, new)


def _stamped(device: Device, now: str) -> Device:
    """A device whose taints all say since when they are there."""
    taints = [one if one.time_added else msgspec.structs.replace(one, time_added=now) for one in device.taints]
    return msgspec.structs.replace(device, taints=taints)


class Watch:
    """Tells one process of one kind of object, in order and late."""

    def __init__(self, server: Server, process: Process, listener: Listener, resource: Resource) -> None:
        self.process, self.resource = process, resource
        self.synced = False
        self._server, self._listener = server, listener
        self._waiting: list[tuple[object, object]] = []
        self._task: Task | None = None

    @property
    def behind(self) -> bool:
        """Is there a change that it has not told of?"""
        return bool(self._waiting)

    def start(self) -> None:
        self._task = self._server.tasks.start(self.process, f"watch-{self.resource.plural}", self._run)

    def stop(self) -> None:
        """It ends with its process."""

    def tell(self, old: object, new: object) -> None:
        if self.synced:
            self._waiting.append((old, new))
            if self._task:
                self._server.tasks.wake(self._task)

    def _run(self) -> None:
        tasks, server = self._server.tasks, self._server
        self._while_down()
        self.synced = True
        self._waiting = [(None, entry) for entry in server.all(self.resource)]
        while True:
            while self._waiting:
                tasks.sleep(tasks.random.random() * LAG_SECONDS + server.slow_seconds)
                self._while_down()
                self._listener(*self._waiting.pop(0))
            tasks.block(f"waits for a change of {self.resource.plural}", None)

    def _while_down(self) -> None:
        while self._server.down:
            self._server.tasks.sleep(SILENCE_SECONDS)


class Client:
    """KubeApi as far as the driver's parts use it, for one process."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def get(self, resource: Resource, name: str, namespace: str = "", *, as_: type[T]) -> T:
        self._travel("reads from the API")
        found: Any = (
            self._server.claims.get((namespace, name)) if resource is RESOURCE_CLAIMS else self._server.slices.get(name)
        )
        if found is None:
            raise NotFound(404, "NotFound", f"{resource.plural} {name} not found")
        if as_ is msgspec.Raw:
            return msgspec.Raw(msgspec.json.encode(found))  # type: ignore[return-value]
        return found  # type: ignore[no-any-return]

    def patch(self, _resource: Resource, name: str, patch: dict[str, Any], namespace: str, _subresource: str) -> bytes:
        """Of a claim's status: what drivers say of its devices."""
        self._travel("writes a claim's status")
        found = self._server.claims.get((namespace, name))
        if found is None:
            raise NotFound(404, "NotFound", f"{name} not found")
        if patch["metadata"]["resourceVersion"] != found.metadata.resource_version:
            raise Conflict(409, "Conflict", f"{name} was changed meanwhile")
        devices = msgspec.convert(patch["status"]["devices"], list[AllocatedDeviceStatus])
        status = msgspec.structs.replace(found.status, devices=devices)
        return self._answer(msgspec.json.encode(self._server.put_claim(msgspec.structs.replace(found, status=status))))

    def list(self, resource: Resource, *, as_: type[T], **_query: str) -> tuple[list[T], str]:  # noqa: ARG002 - as above
        """All claims or slices: there is one node."""
        self._travel(f"lists {resource.plural}")
        found: Any = self._server.claims if resource is RESOURCE_CLAIMS else self._server.slices
        return list(found.values()), str(self._server.version)

    def create(self, _resource: Resource, entry: ResourceSlice, *, dry_run: bool = False) -> bytes:
        self._travel("creates a slice")
        if dry_run:
            return msgspec.json.encode(entry)
        if entry.metadata.name in self._server.slices:
            raise Conflict(409, "AlreadyExists", f"{entry.metadata.name} already exists")
        return self._answer(msgspec.json.encode(self._server.put_slice(entry)))

    def replace(self, _resource: Resource, name: str, entry: ResourceSlice) -> bytes:
        self._travel("replaces a slice")
        self._expect(name, entry.metadata)
        return self._answer(msgspec.json.encode(self._server.put_slice(entry)))

    def delete(self, _resource: Resource, name: str, *, options: dict[str, Any]) -> None:
        self._travel("deletes a slice")
        if name not in self._server.slices:
            return
        wanted = options["preconditions"]
        self._expect(name, ObjectMeta(uid=wanted["uid"], resource_version=wanted["resourceVersion"]))
        self._server.drop_slice(name)
        self._answer(b"")

    def _expect(self, name: str, wanted: ObjectMeta) -> None:
        found = self._server.slices.get(name)
        if found is None:
            raise NotFound(404, "NotFound", f"{name} not found")
        if wanted.resource_version and wanted.resource_version != found.metadata.resource_version:
            raise Conflict(409, "Conflict", f"{name} was changed meanwhile")

    def _travel(self, what: str) -> None:
        tasks, server = self._server.tasks, self._server
        server.requests[what] += 1
        if server.slow_seconds:
            tasks.sleep(server.slow_seconds)
        else:
            tasks.pause(what)
        if server.down:
            tasks.sleep(SILENCE_SECONDS)
            raise Unavailable("no answer from the API server")

    def _answer(self, raw: bytes) -> bytes:
        tasks = self._server.tasks
        if self._server.losing_chance and tasks.random.random() < self._server.losing_chance:
            raise Unavailable("the answer of the API server was lost")
        tasks.pause("the API has answered")
        return raw
