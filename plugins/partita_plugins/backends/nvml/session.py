"""NVML in this process: initialised once, handles by UUID, errors of the port; thread-safe.

No lock is held over a call of NVML, and each GPU is identified in a thread of its own: one that hangs keeps only its
own callers waiting. GPUs are identified by index, for a look-up by UUID has been seen to take ten seconds.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from typing import Any, TypeVar

import pynvml

from partita_plugins.backends.nvml.answers import as_backend_error
from partita_plugins.backends.nvml.names import Names
from partita_plugins.backends.nvml.threads import failed, started
from partita_plugins.errors import BackendError, NvmlCode

T = TypeVar("T")

INITIALISE_SECONDS = 30.0
IDENTIFY_SECONDS = 20.0
"""For all GPUs together; those that take longer are known by what the kernel and the last start say."""

DRIVER_GONE = frozenset({pynvml.NVML_ERROR_UNINITIALIZED, pynvml.NVML_ERROR_DRIVER_NOT_LOADED})
"""The driver was unloaded, or somebody shut NVML down: every handle is stale."""

Identified = tuple[str, Any]
"""UUID and handle."""


class Session:
    """NVML and the handles of its GPUs. Opened by the first call, and again after the driver was reloaded."""

    def __init__(self, names: Names, load: Callable[[], None], *, identify_seconds: float = IDENTIFY_SECONDS) -> None:
        self._names, self._load, self._identify_seconds = names, load, identify_seconds
        self._lock = threading.Lock()
        self._opening: Future[None] | None = None
        self._gpus: list[Future[Identified] | None] = []
        self._uuids: tuple[str, ...] = ()
        self._late: tuple[Future[Identified], ...] = ()
        """Those that were waited for in vain: nobody waits for them again to list the GPUs."""

        self.generation = 0
        """Raised whenever NVML is shut down: what was made before it is gone."""

    def uuids(self) -> tuple[str, ...]:
        """All GPUs in NVML's order, also those that are lost or hang. Asks none that it has a name for."""
        with self._door("listing the GPUs"):
            self._open(INITIALISE_SECONDS)
            count = pynvml.nvmlDeviceGetCount()
            with self._lock:
                if len(self._gpus) == len(self._uuids) == count and all(self._uuids):
                    return self._uuids
                if len(self._gpus) != count:
                    self._gpus, self._uuids = [None] * count, ()
                gpus = self._gpus
                asked = [self._identified(index) for index in range(count)]
                awaited = [one for one in asked if one not in self._late]
            wait(awaited, timeout=self._identify_seconds)
            found = tuple(one.result()[0] if one.done() and not failed(one) else "" for one in asked)
            uuids = self._names.completed(found)
            with self._lock:
                if self._gpus is gpus:  # else NVML was shut down meanwhile, or has another number of GPUs
                    self._uuids = uuids
                    self._late = tuple(one for one in asked if not one.done())
            return tuple(filter(None, uuids))

    def on(self, gpu_uuid: str, doing: str, act: Callable[[Any], T]) -> T:
        """What `act` does with the handle of a GPU. Raises BackendError; NOT_FOUND for a UUID that there is not."""
        with self._door(f"{doing} of {gpu_uuid}", gpu_uuid):
            return act(self._handle(gpu_uuid))

    def at_large(self, doing: str, act: Callable[[], T]) -> T:
        """What `act` asks of NVML itself. Raises BackendError."""
        with self._door(doing):
            self._open()
            return act()

    def uuid_of(self, handle: Any) -> str:
        """The GPU that a handle of NVML's (in an event) stands for."""
        with self._lock:
            known = [one.result() for one in self._gpus if one is not None and one.done() and not failed(one)]
        address = _address(handle)
        return next((uuid for uuid, one in known if _address(one) == address), "") or pynvml.nvmlDeviceGetUUID(handle)

    def close(self) -> None:
        """Shut NVML down. The next call opens it again."""
        self._forget(self.generation)

    def _handle(self, gpu_uuid: str) -> Any:
        self._open()
        self.uuids()
        with self._lock:
            if not self._uuids:
                raise BackendError(NvmlCode.UNINITIALIZED, "NVML was shut down meanwhile", advice="try again")
            if not gpu_uuid or gpu_uuid not in self._uuids:
                raise BackendError(NvmlCode.NOT_FOUND, f"there is no GPU {gpu_uuid}")
            identified = self._identified(self._uuids.index(gpu_uuid))
        # As long as it takes: a GPU that hangs is told by the caller's deadline.
        uuid, handle = identified.result()
        if uuid != gpu_uuid:
            raise BackendError(NvmlCode.NOT_FOUND, f"{uuid} has taken the place of {gpu_uuid}")
        return handle

    def _identified(self, index: int) -> Future[Identified]:
        """The GPU at an index; one that could not be identified is asked again. Called with the lock held."""
        before = self._gpus[index]
        if before is None or failed(before):
            before = started(f"nvml-gpu-{index}", lambda: _identify(index))
            self._gpus[index] = before
        return before

    def _open(self, timeout_seconds: float | None = None) -> None:
        with self._lock:
            if self._opening is None or failed(self._opening):
                self._opening = started("nvml-init", self._initialise)
            opening = self._opening
        try:
            opening.result(timeout_seconds)
        except FutureTimeout as error:
            raise BackendError(
                NvmlCode.TIMEOUT, "NVML does not initialise", advice="look for NVRM lines in the kernel log"
            ) from error

    def _initialise(self) -> None:
        self._load()
        pynvml.nvmlInit()

    def _forget(self, generation: int) -> None:
        """Shut NVML down, unless somebody has since."""
        with self._lock:
            if generation != self.generation:
                return
            opening, self._opening = self._opening, None
            self._gpus, self._uuids = [], ()
            self.generation += 1
        if opening is not None and opening.done() and not failed(opening):
            try:
                pynvml.nvmlShutdown()
            except pynvml.NVMLError:
                return  # it is down already

    def _forget_gpu(self, gpu_uuid: str) -> None:
        with self._lock:
            if gpu_uuid and gpu_uuid in self._uuids:
                self._gpus[self._uuids.index(gpu_uuid)] = None

    @contextmanager
    def _door(self, doing: str, gpu_uuid: str = "") -> Iterator[None]:
        generation = self.generation
        try:
            yield
        except pynvml.NVMLError as error:
            if error.value in DRIVER_GONE:
                self._forget(generation)
            elif error.value == pynvml.NVML_ERROR_GPU_IS_LOST:
                self._forget_gpu(gpu_uuid)
            raise as_backend_error(error, doing) from error


def _identify(index: int) -> Identified:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    return pynvml.nvmlDeviceGetUUID(handle), handle


def _address(handle: Any) -> int | None:
    return ctypes.cast(handle, ctypes.c_void_p).value
