"""Prepare and Unprepare: one implementation behind both versions of the kubelet's DRA service."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol, TypeVar

import grpc
import structlog

from partita_plugins.errors import PartitaError, Retryable
from partita_plugins.kubelet_api import dra_v1_pb2, dra_v1beta1_pb2

log = structlog.get_logger(__name__)

CALL_SECONDS = 40.0
"""Longest time of one call where the kubelet gives no shorter one; it gives up after 45 s."""

ANSWER_MARGIN_SECONDS = 1.0
"""Kept back from the caller's deadline so that the answer still arrives."""

MAX_CLAIMS = 256
"""Claims being worked on; more are turned away, and the kubelet asks again.

Each has a thread. Most of them only wait for their GPU, and with fewer threads than claims those of one GPU keep the
others from theirs: 16 threads made 28 partitions on four GPUs take a third longer than the GPUs need.
"""

SERVICES: Mapping[str, ModuleType] = {
    "k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin": dra_v1_pb2,
    "k8s.io.kubelet.pkg.apis.dra.v1beta1.DRAPlugin": dra_v1beta1_pb2,
}
"""gRPC service name to its messages. v1beta1 differs in one field: its devices have no share id."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRef:
    """A claim as the kubelet names it."""

    namespace: str
    name: str
    uid: str


class GrantedDevice(Protocol):
    """What the kubelet is told of one prepared device."""

    @property
    def request_names(self) -> Sequence[str]: ...
    @property
    def pool(self) -> str: ...
    @property
    def device(self) -> str: ...
    @property
    def cdi_ids(self) -> Sequence[str]: ...
    @property
    def share_id(self) -> str | None: ...


class ClaimHandler(Protocol):
    """Does the work for one claim. Both are idempotent, thread-safe, and raise PartitaError."""

    def prepare(self, claim: ClaimRef) -> Sequence[GrantedDevice]: ...
    def unprepare(self, claim: ClaimRef) -> None: ...


class DraService:
    """Runs the claims of each call side by side, and answers every one of them within the call's deadline.

    A claim that is not done in time gets an error of its own while its work goes on: the kubelet asks again, and the
    handler lets the second call join the first.
    """

    def __init__(self, claims: ClaimHandler, *, call_seconds: float = CALL_SECONDS) -> None:
        self._claims, self._call_seconds = claims, call_seconds
        self._workers = ThreadPoolExecutor(MAX_CLAIMS, thread_name_prefix="claim")
        self._room = threading.BoundedSemaphore(MAX_CLAIMS)

    def handlers(self) -> list[Any]:
        """The gRPC services, one for each version."""
        return [self._handler(service, messages) for service, messages in SERVICES.items()]

    def close(self, timeout_seconds: float) -> bool:
        """Take no more claims and wait for those at work; True when all are done."""
        self._workers.shutdown(wait=False, cancel_futures=True)
        end = time.monotonic() + timeout_seconds
        taken = 0
        while taken < MAX_CLAIMS and self._room.acquire(timeout=max(0.0, end - time.monotonic())):
            taken += 1
        for _ in range(taken):
            self._room.release()
        return taken == MAX_CLAIMS

    def _handler(self, service: str, messages: ModuleType) -> Any:
        def prepare(request: Any, context: Any) -> Any:
            answers = self._each(request.claims, context, self._claims.prepare, lambda ok: _granted(messages, ok))
            return messages.NodePrepareResourcesResponse(
                claims={uid: messages.NodePrepareResourceResponse(**answer) for uid, answer in answers.items()}
            )

        def unprepare(request: Any, context: Any) -> Any:
            answers = self._each(request.claims, context, self._claims.unprepare, lambda _: {})
            return messages.NodeUnprepareResourcesResponse(
                claims={uid: messages.NodeUnprepareResourceResponse(**answer) for uid, answer in answers.items()}
            )

        methods = {
            "NodePrepareResources": grpc.unary_unary_rpc_method_handler(
                prepare,
                request_deserializer=messages.NodePrepareResourcesRequest.FromString,
                response_serializer=messages.NodePrepareResourcesResponse.SerializeToString,
            ),
            "NodeUnprepareResources": grpc.unary_unary_rpc_method_handler(
                unprepare,
                request_deserializer=messages.NodeUnprepareResourcesRequest.FromString,
                response_serializer=messages.NodeUnprepareResourcesResponse.SerializeToString,
            ),
        }
        return grpc.method_handlers_generic_handler(service, methods)

    def _each(
        self, claims: Any, context: Any, work: Callable[[ClaimRef], T], answer: Callable[[T], dict[str, Any]]
    ) -> dict[str, dict[str, Any]]:
        remaining = context.time_remaining()
        limit = self._call_seconds if remaining is None else min(self._call_seconds, remaining)
        end = time.monotonic() + limit - ANSWER_MARGIN_SECONDS
        refs = {claim.uid: ClaimRef(namespace=claim.namespace, name=claim.name, uid=claim.uid) for claim in claims}
        begun = {uid: self._begin(work, ref) for uid, ref in refs.items()}
        return {uid: _outcome(refs[uid], begun[uid], end, answer) for uid in refs}

    def _begin(self, work: Callable[[ClaimRef], T], ref: ClaimRef) -> Future[T]:
        if not self._room.acquire(blocking=False):
            return _failed(Retryable(f"{MAX_CLAIMS} claims are being worked on already"))
        try:
            future = self._workers.submit(work, ref)
        except RuntimeError:
            self._room.release()
            return _failed(Retryable("the driver is stopping", advice="its next instance will be asked"))
        future.add_done_callback(lambda _: self._room.release())
        return future


def _failed(error: PartitaError) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


def _outcome(ref: ClaimRef, future: Future[T], end: float, answer: Callable[[T], dict[str, Any]]) -> dict[str, Any]:
    """The answer for one claim: never an exception, because the other claims of the call have theirs."""
    wait([future], timeout=max(0.0, end - time.monotonic()))
    try:
        if future.done():
            return answer(future.result())
        error = "not finished in time; the work goes on, and the kubelet will ask again"
    except PartitaError as refused:
        error = str(refused)
    except Exception as bug:
        log.exception("a claim failed for a reason nobody foresaw", claim=ref.uid)
        error = f"internal error of the driver: {type(bug).__name__}: {bug}"
    log.warning("claim failed", claim=ref.uid, namespace=ref.namespace, name=ref.name, error=error)
    return {"error": error}


def _granted(messages: ModuleType, devices: Sequence[GrantedDevice]) -> dict[str, Any]:
    return {"devices": [_device(messages, device) for device in devices]}


def _device(messages: ModuleType, device: GrantedDevice) -> Any:
    message = messages.Device(
        # The kubelet knows requests, not the alternatives inside them: "main/sub" is "main" here.
        request_names=list(dict.fromkeys(name.partition("/")[0] for name in device.request_names)),
        pool_name=device.pool,
        device_name=device.device,
        cdi_device_ids=device.cdi_ids,
    )
    if device.share_id and "share_id" in messages.Device.DESCRIPTOR.fields_by_name:
        message.share_id = device.share_id
    return message
