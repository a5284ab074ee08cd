"""Prepare and Unprepare of one claim, between the kubelet's call and the claim engine.

Prepare reads the claim once and checks that it is the one the kubelet means. Unprepare needs nothing but the UID: the
claim may be gone, and the API server too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import structlog

from partita_driver.fault_points import reached
from partita_driver.kubelet.dra_service import ClaimRef, GrantedDevice
from partita_plugins.errors import InvalidInput, PartitaError, Permanent, Retryable, ValidationFailed
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.errors import NotFound, Unavailable
from partita_plugins.kube.resources import RESOURCE_CLAIMS
from partita_plugins.wire import DRIVER_NAME
from partita_plugins.wire.resource_claim import ResourceClaim

log = structlog.get_logger(__name__)

READ_PAUSES_SECONDS = (0.1, 0.5)
"""Between tries to read a claim. With 10 s a request all tries together stay below the kubelet's 45 s."""


T = TypeVar("T")

_RESULTS: Mapping[type[PartitaError], str] = {
    ValidationFailed: "validation-failed",
    InvalidInput: "invalid",
    Permanent: "refused",
    Retryable: "retry",
}
"""Label of a metric by error, the special before the general; any other is "error"."""


class Prepared(GrantedDevice, Protocol):
    """A prepared device as the kubelet and the claim's status are told of it."""

    @property
    def uuid(self) -> str: ...
    @property
    def validation(self) -> Any: ...


class Engine(Protocol):
    """What this module needs of the claim engine."""

    def prepare_read(self, claim_uid: str, read: Callable[[], ResourceClaim]) -> Sequence[Prepared]: ...
    def unprepare(self, claim_uid: str) -> None: ...


class Outcomes(Protocol):
    """Who is told how a claim went. Neither call blocks."""

    def prepared(self, claim: ResourceClaim, devices: Sequence[Prepared]) -> None: ...
    def validation_failed(self, claim: ResourceClaim, error: ValidationFailed) -> None: ...


class ClaimCounter(Protocol):
    """Who counts calls, by verb and result."""

    def claim_done(self, verb: str, result: str, seconds: float) -> None: ...
    def phase(self, phase: str, seconds: float) -> None: ...


class Claims:
    """Prepares and unprepares claims of one node's pool. Thread-safe as far as the engine is."""

    def __init__(
        self,
        *,
        read: Callable[[ClaimRef], ResourceClaim],
        engine: Engine,
        pool: str,
        outcomes: Outcomes,
        counter: ClaimCounter,
        on_refused: Callable[[], None] = lambda: None,
        on_released: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_refused` hears of a Prepare that failed for another reason than an API server that does not answer,
        `on_released` of every Unprepare that succeeded.
        """
        self._read, self._engine, self._pool = read, engine, pool
        self._outcomes, self._counter, self._on_refused = outcomes, counter, on_refused
        self._on_released = on_released

    def prepare(self, claim: ClaimRef) -> Sequence[Prepared]:
        """The claim's devices, ready for a container. Raises PartitaError with what to do."""
        try:
            return self._counted("prepare", lambda: self._prepare(claim))
        except Unavailable:
            raise
        except PartitaError:
            self._on_refused()
            raise

    def unprepare(self, claim: ClaimRef) -> None:
        """Undo whatever was done for the claim; nothing done is a success."""
        self._counted("unprepare", lambda: self._engine.unprepare(claim.uid))
        reached("unprepared")
        self._on_released()

    def _prepare(self, ref: ClaimRef) -> Sequence[Prepared]:
        found: list[ResourceClaim] = []
        """Stays empty where this call joins another one, which tells of the outcome."""

        def read() -> ResourceClaim:
            found.append(self._checked(ref))
            return found[0]

        try:
            devices = self._engine.prepare_read(ref.uid, read)
        except ValidationFailed as error:
            for claim in found:
                self._outcomes.validation_failed(claim, error)
            raise
        for claim in found:
            self._outcomes.prepared(claim, devices)
        return devices

    def _checked(self, ref: ClaimRef) -> ResourceClaim:
        begun = time.monotonic()
        claim = self._read(ref)
        self._counter.phase("read-claim", time.monotonic() - begun)
        check_claim(claim, ref, self._pool)
        reached("claim-read")
        return claim

    def _counted(self, verb: str, work: Callable[[], T]) -> T:
        begun, result = time.monotonic(), "error"
        try:
            done = work()
            result = "ok"
        except PartitaError as error:
            result = result_of(error)
            raise
        finally:
            self._counter.claim_done(verb, result, time.monotonic() - begun)
        return done


def result_of(error: PartitaError) -> str:
    """The label of an error: that of the first kind in the table that it is."""
    return next((label for kind, label in _RESULTS.items() if isinstance(error, kind)), "error")


def read_claim(api: KubeApi, ref: ClaimRef, pause: Callable[[float], None] = time.sleep) -> ResourceClaim:
    """The claim that the kubelet named. Raises Permanent when it is gone, Retryable when the API server is."""
    for seconds in READ_PAUSES_SECONDS:
        try:
            return _get(api, ref)
        except Retryable as error:
            log.warning("cannot read the claim yet", claim=ref.uid, error=str(error))
            pause(seconds)
    return _get(api, ref)


def _get(api: KubeApi, ref: ClaimRef) -> ResourceClaim:
    try:
        return api.get(RESOURCE_CLAIMS, ref.name, ref.namespace, as_=ResourceClaim)
    except NotFound as error:
        raise Permanent(
            f"claim {ref.namespace}/{ref.name} no longer exists", advice="delete the pod that uses it"
        ) from error


def check_claim(claim: ResourceClaim, ref: ClaimRef, pool: str) -> None:
    """Is this the claim the kubelet means, and is it ours to prepare? Raises PartitaError if not."""
    shown = f"claim {ref.namespace}/{ref.name}"
    if claim.metadata.uid != ref.uid:
        raise Permanent(
            f"{shown} got replaced: its UID is {claim.metadata.uid}, the kubelet asked for {ref.uid}",
            advice="delete the pod; its controller makes one for the new claim",
        )
    allocation = claim.status.allocation
    if allocation is None:
        raise Retryable(f"{shown} is not allocated", advice="kube-scheduler allocates it when it places a pod")
    if not claim.status.reserved_for:
        raise Retryable(f"{shown} is allocated but reserved for no pod", advice="kube-scheduler reserves it for a pod")
    ours = [result for result in allocation.devices.results if result.driver == DRIVER_NAME]
    if not ours:
        drivers = ", ".join(sorted({result.driver for result in allocation.devices.results})) or "none"
        raise InvalidInput(
            f"{shown} has no device of {DRIVER_NAME}, only of: {drivers}",
            advice="use a DeviceClass that selects this driver",
        )
    if foreign := sorted({result.pool for result in ours if result.pool != pool}):
        raise Permanent(
            f"{shown} is allocated from {', '.join(foreign)}, and this node's pool is {pool}",
            advice="delete the pod so that kube-scheduler places it again",
        )
