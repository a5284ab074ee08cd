"""Calls that may hang, each in a thread of its own with a deadline.

A call that hangs takes its thread with it: the thread is given up and counted, and while it is out nothing else is
tried on the same GPU. So a GPU costs the threads of what was going on when it began to hang, and never another GPU's
time.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from partita_driver.runtime import THREADS, Runtime
from partita_plugins.errors import Retryable

T = TypeVar("T")

THREADS_MAX = 64
"""Calls in progress on all GPUs together."""

NODE = ""
"""In place of a GPU's UUID: the call is about the whole node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """How long the engine waits, in seconds. The kubelet gives all claims of a pod 45 s."""

    call_seconds: float = 15.0
    """One call of the backend. Destroying a GPU instance takes seconds, a look-up by UUID up to ten."""

    discover_seconds: float = 30.0
    validate_seconds: float = 20.0
    revalidate_seconds: float = 300.0
    """For all of a quarantined part's memory: nobody waits for it."""

    lock_seconds: float = 40.0
    """For GPUs that another claim is being prepared on, and for another call of the same claim."""


class _Job(Generic[T]):
    """One call: what it is, and how it ended."""

    def __init__(self, name: str, act: Callable[[], T], runtime: Runtime) -> None:
        self.name, self.act = name, act
        self.future: Future[T] = Future()
        self.done = runtime.event()
        self.given_up = False


class Hung(Retryable):
    """A call did not come back within its deadline, or an earlier one on the same GPU is still out."""

    def __init__(self, message: str, *, gpu_uuid: str, first: bool) -> None:
        super().__init__(message, delay_seconds=10.0, advice="look for NVRM lines in the kernel log; reset the GPU")
        self.gpu_uuid = gpu_uuid
        self.first = first
        """This very call hung; False: an earlier one did."""


class Workers:
    """Runs calls on GPUs with deadlines. Thread-safe."""

    def __init__(self, threads_max: int = THREADS_MAX, *, runtime: Runtime = THREADS) -> None:
        self._runtime = runtime
        self._slots = runtime.semaphore(threads_max)
        self._lock = runtime.lock()
        self._out: dict[str, list[_Job[Any]]] = {}

    def hung(self) -> dict[str, str]:
        """GPUs with calls that are still out, and the name of the first."""
        with self._lock:
            return {gpu_uuid: jobs[0].name for gpu_uuid, jobs in self._out.items()}

    def call(self, gpu_uuid: str, name: str, act: Callable[[], T], deadline_seconds: float) -> T:
        """The result of `act`, or what it raised. Raises Hung after the deadline; `act` may still take effect later."""
        with self._lock:
            if gpu_uuid in self._out:
                raise Hung(
                    f"{self._out[gpu_uuid][0].name} still hangs on {gpu_uuid or 'the node'}",
                    gpu_uuid=gpu_uuid,
                    first=False,
                )
        if not self._slots.acquire(timeout=deadline_seconds):
            raise Retryable(f"{name}: too many calls in progress", delay_seconds=2.0)
        job = _Job(name, act, self._runtime)
        try:
            self._runtime.start(f"partita-{name}", lambda: self._run(job, gpu_uuid))
            if not job.done.wait(deadline_seconds) and self._give_up(job, gpu_uuid):
                raise Hung(
                    f"{name} on {gpu_uuid or 'the node'} did not come back within {deadline_seconds:g} s",
                    gpu_uuid=gpu_uuid,
                    first=True,
                )
        finally:
            self._slots.release()
        return job.future.result()

    def _run(self, job: _Job[T], gpu_uuid: str) -> None:
        try:
            job.future.set_result(job.act())
        except BaseException as error:  # noqa: BLE001 - raised again where the result is awaited
            job.future.set_exception(error)
        with self._lock:
            if job.given_up:
                self._out[gpu_uuid].remove(job)
                if not self._out[gpu_uuid]:
                    del self._out[gpu_uuid]
            job.done.set()

    def _give_up(self, job: _Job[T], gpu_uuid: str) -> bool:
        """Count the thread as lost, unless it came back at the last moment."""
        with self._lock:
            if job.done.is_set():
                return False
            job.given_up = True
            self._out.setdefault(gpu_uuid, []).append(job)
            return True
