"""Faults on demand: the next requests that match fail, hang up, or take their time."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field

from partita_plugins.testing.apiserver.errors import ApiError


class Dropped(Exception):
    """The connection is to be closed without an answer."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """What goes wrong, with which requests, and how often."""

    method: str = ""
    """HTTP method; empty matches all."""

    path: str = ""
    """Regular expression, searched for in path and query."""

    times: int = 1
    """How many more requests it hits; -1 until it is cleared."""

    code: int = 0
    """Status code to answer with; 0 for none."""

    reason: str = "InternalError"
    """Kubernetes' reason that goes with the code."""

    drop: bool = False
    """Hang up instead of answering."""

    delay_seconds: float = 0.0
    """Wait so long before the request is looked at."""

    after: bool = False
    """Let the request take effect first: what is lost is only the answer."""

    hits: int = field(default=0, init=False)
    """Requests hit so far."""

    def matches(self, method: str, target: str) -> bool:
        return (not self.method or self.method == method) and bool(re.search(self.path, target))


class Faults:
    """The faults planted in one server, in the order in which they were planted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planted: list[Fault] = []
        self._cleared = threading.Event()

    def plant(self, fault: Fault) -> Fault:
        """From now on, requests that match are hit."""
        with self._lock:
            self._cleared.clear()
            self._planted.append(fault)
        return fault

    def fail(
        self, code: int, *, method: str = "", path: str = "", times: int = 1, reason: str = "InternalError"
    ) -> Fault:
        return self.plant(Fault(code=code, method=method, path=path, times=times, reason=reason))

    def drop(self, *, method: str = "", path: str = "", times: int = 1, after: bool = False) -> Fault:
        return self.plant(Fault(drop=True, method=method, path=path, times=times, after=after))

    def delay(self, seconds: float, *, method: str = "", path: str = "", times: int = 1) -> Fault:
        return self.plant(Fault(delay_seconds=seconds, method=method, path=path, times=times))

    def clear(self) -> None:
        """Take all faults away; requests being delayed go on."""
        with self._lock:
            self._planted.clear()
            self._cleared.set()

    def before(self, method: str, target: str) -> Fault | None:
        """Called with each request: waits or raises as planted. A fault for afterwards comes back."""
        fault = self._take(method, target)
        if fault is None:
            return None
        if fault.delay_seconds:
            self._cleared.wait(fault.delay_seconds)
        if fault.after:
            return fault
        self.strike(fault)
        return None

    def strike(self, fault: Fault) -> None:
        if fault.drop:
            raise Dropped
        if fault.code:
            raise ApiError(fault.code, fault.reason, "a planted fault: the next request may succeed")

    def _take(self, method: str, target: str) -> Fault | None:
        with self._lock:
            for fault in self._planted:
                if fault.times != 0 and fault.matches(method, target):
                    fault.times -= fault.times > 0
                    fault.hits += 1
                    return fault
            return None
