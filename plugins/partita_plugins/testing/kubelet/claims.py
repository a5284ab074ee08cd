"""Which claims the node has prepared for which pods, kept on disk as the kubelet does."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from partita_plugins.testing.kubeapi import Json, KubeApi
from partita_plugins.testing.kubelet.drivers import CallFailed, ClaimRef, PreparedDevice
from partita_plugins.testing.kubelet.registry import Registry
from partita_plugins.testing.objects import (
    allocated_devices,
    allocation_of,
    claim_names,
    name_of,
    namespace_of,
    reserved_for,
    uid_of,
)


class ClaimRecord(msgspec.Struct, kw_only=True):
    """One claim on this node, as the checkpoint has it."""

    namespace: str
    name: str
    uid: str
    drivers: list[str]
    pods: list[str]
    """Uids of the pods that use it here."""

    @property
    def ref(self) -> ClaimRef:
        return ClaimRef(namespace=self.namespace, name=self.name, uid=self.uid)


class NodeClaims:
    """Prepares and unprepares. A claim is prepared once for all its pods, and again after a restart of the kubelet."""

    def __init__(self, api: KubeApi, registry: Registry, checkpoint: Path) -> None:
        self._api, self._registry, self._checkpoint = api, registry, checkpoint
        self._records = _read(checkpoint)
        self._prepared: dict[tuple[str, str], tuple[PreparedDevice, ...]] = {}
        self._lock = threading.RLock()
        self._claim_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def pods(self) -> set[str]:
        """Uids of all pods that hold a claim here."""
        with self._lock:
            return {uid for record in self._records.values() for uid in record.pods}

    def prepare(self, pod: Json) -> dict[str, tuple[PreparedDevice, ...]]:
        """Devices by the claim's name in the pod. CallFailed says which claim could not be prepared, and why."""
        claims = {alias: self._admitted(pod, name) for alias, name in _claims_of(pod).items()}
        with self._holding({uid_of(claim) for claim in claims.values()}):
            for claim in claims.values():
                self._remember(claim, uid_of(pod))
            missing: dict[str, list[ClaimRef]] = defaultdict(list)
            for claim in claims.values():
                record = self._records[uid_of(claim)]
                for driver in record.drivers:
                    if (record.uid, driver) not in self._prepared and record.ref not in missing[driver]:
                        missing[driver].append(record.ref)
            for driver, refs in missing.items():
                if refs:
                    self._prepare_with(driver, refs)
            return {
                alias: tuple(
                    device
                    for driver in self._records[uid_of(claim)].drivers
                    for device in self._prepared[uid_of(claim), driver]
                )
                for alias, claim in claims.items()
            }

    def unprepare(self, pod_uid: str) -> None:
        """Give back what a pod held; what other pods here still use stays. CallFailed leaves the rest to a next try."""
        uids = {record.uid for record in list(self._records.values()) if pod_uid in record.pods}
        with self._holding(uids):
            for uid in sorted(uids):
                record = self._records[uid]
                if record.pods == [pod_uid]:
                    for driver in record.drivers:
                        self._unprepare_with(driver, record.ref)
                    self._drop(uid)
                else:
                    record.pods.remove(pod_uid)
                    self._save()

    def _admitted(self, pod: Json, name: str) -> Json:
        """The claim, if the pod may use it: read from the API, as the kubelet does."""
        namespace = namespace_of(pod)
        claim = self._api.get("ResourceClaim", name, namespace)
        if not any(entry.get("uid") == uid_of(pod) for entry in reserved_for(claim)):
            raise CallFailed(f"pod {namespace}/{name_of(pod)} is not allowed to use ResourceClaim {namespace}/{name}")
        if allocation_of(claim) is None:
            raise CallFailed(f"ResourceClaim {namespace}/{name} is not allocated")
        return claim

    def _remember(self, claim: Json, pod_uid: str) -> None:
        """Written down before the driver is asked, so that a crash in between still leads to an unprepare."""
        drivers = sorted({result["driver"] for result in allocated_devices(claim)})
        with self._lock:
            record = self._records.setdefault(
                uid_of(claim),
                ClaimRecord(
                    namespace=namespace_of(claim), name=name_of(claim), uid=uid_of(claim), drivers=drivers, pods=[]
                ),
            )
            if pod_uid not in record.pods:
                record.pods.append(pod_uid)
                self._save()

    def _prepare_with(self, driver: str, refs: list[ClaimRef]) -> None:
        answers = self._registry.driver(driver).prepare(refs)
        failures: list[str] = []
        for ref in refs:
            answer = answers.get(ref.uid, CallFailed("NodePrepareResources skipped the ResourceClaim"))
            if isinstance(answer, CallFailed):
                failures.append(f"NodePrepareResources failed for ResourceClaim {ref.name}: {answer}")
            else:
                self._prepared[ref.uid, driver] = answer
        if failures:
            raise CallFailed("; ".join(failures))

    def _unprepare_with(self, driver: str, ref: ClaimRef) -> None:
        answers = self._registry.driver(driver).unprepare([ref])
        failure = answers.get(ref.uid, CallFailed("NodeUnprepareResources skipped the ResourceClaim"))
        if failure is not None:
            raise CallFailed(f"NodeUnprepareResources failed for ResourceClaim {ref.name}: {failure}")
        self._prepared.pop((ref.uid, driver), None)

    def _drop(self, uid: str) -> None:
        with self._lock:
            del self._records[uid]
            self._claim_locks.pop(uid, None)
            self._save()

    @contextmanager
    def _holding(self, uids: set[str]) -> Iterator[None]:
        """All these claims, in one order, so that two pods never wait for each other."""
        with ExitStack() as held:
            for uid in sorted(uids):
                with self._lock:
                    lock = self._claim_locks[uid]
                held.enter_context(lock)
            yield

    def _save(self) -> None:
        with self._lock:
            scratch = self._checkpoint.with_suffix(".new")
            scratch.write_bytes(msgspec.json.encode(list(self._records.values())))
            scratch.replace(self._checkpoint)


def _read(path: Path) -> dict[str, ClaimRecord]:
    if not path.exists():
        return {}
    records = msgspec.json.decode(path.read_bytes(), type=list[ClaimRecord])
    return {record.uid: record for record in records}


def extended_claim(pod: Json) -> Json:
    """The claim that the scheduler made for plain extended resources, with its mapping of requests; empty for none."""
    found: Json = (pod.get("status") or {}).get("extendedResourceClaimStatus") or {}
    return found


EXTENDED = "<extended-resources>"
"""Stands for the name in the pod of a claim that the pod does not name."""


def _claims_of(pod: Json) -> dict[str, str]:
    names = claim_names(pod)
    wanted = [entry["name"] for entry in pod["spec"].get("resourceClaims") or []]
    missing = [name for name in wanted if name not in names]
    if missing:
        raise CallFailed(f"no ResourceClaim has been made yet for {', '.join(missing)}")
    extended = extended_claim(pod)
    return names | ({EXTENDED: extended["resourceClaimName"]} if extended else {})
