"""A whole look, on devices that are open: what is run in which order, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from partita_plugins.validators.cuda.budget import Budget
from partita_plugins.validators.cuda.compute import Arithmetic
from partita_plugins.validators.cuda.memory import MemoryCheck, MemoryLook
from partita_plugins.validators.cuda.messages import Answer, Request
from partita_plugins.validators.cuda.peers import Copies
from partita_plugins.validators.cuda.port import Device, DeviceFailed, OutOfRoom, Unavailable
from partita_plugins.validators.cuda.report import ReportBuffer

FINDINGS_MAX = 8
"""Enough to see a pattern, few enough for an event."""

QUICK_SECONDS = 0.03
"""For memory; arithmetic takes the rest of a quick look's 100 ms. CUDA's start comes on top of them."""

SHARED = "shared"
MEASURED_BYTES = 256 << 20
HOST_RATE_BYTES = 16 << 20
ALLOCATIONS_MAX = 8


class Plan:
    """One request."""

    def __init__(
        self,
        request: Request,
        devices: Sequence[Device],
        *,
        began: float,
        clock: Callable[[], float],
        given_up: Callable[[], bool],
    ) -> None:
        """`began` is when the request was read."""
        self._request, self._devices, self._clock = request, devices, clock
        self._budget = Budget(ends=began + request.budget_seconds, clock=clock, given_up=given_up)
        self._doing = "start"
        self._seconds = {self._doing: clock() - began}
        self._memory = MemoryLook((), 0)
        self._room = 1
        self._arithmetic: list[str] = []
        self._failed: list[str] = []
        self._rates: dict[str, float] = {}
        self._pairs_left = 0

    def run(self) -> Answer:
        """The answer; a device that fails meanwhile is what was found.

        OutOfRoom where others have its memory, Unavailable where the host has none, unless something was found before.
        """
        try:
            if self._lacks_room():
                return self._answer(SHARED)
            for act in self._parts():
                act()
        except DeviceFailed as error:
            self._failed.append(f"{error}, in {self._doing}")
        except (OutOfRoom, Unavailable):
            if not self._found:
                raise
        return self._answer("")

    def _parts(self) -> Iterator[Callable[[], None]]:
        if len(self._devices) > 1:
            yield self._check_peers
            return
        # Arithmetic first: it takes little, and no budget is too small for it.
        yield self._check_arithmetic
        yield self._check_memory
        if self._request.measure:
            yield self._measure
        if self._request.limits.host_rate_min and not (self._request.quick or self._request.shared):
            yield self._check_host_rate

    def _check_peers(self) -> None:
        copies = Copies(self._devices, self._request.visible, self._request.seed)
        with self._timed("copies"):
            self._arithmetic += copies.findings(self._budget)
        self._pairs_left = copies.left

    def _check_arithmetic(self) -> None:
        rounds = self._request.limits.rounds
        arithmetic = Arithmetic(self._devices[0], rounds=rounds, shared=self._request.shared)
        with self._timed("compute"):
            self._arithmetic += arithmetic.findings(self._request.seed)

    def _check_memory(self) -> None:
        request, device = self._request, self._devices[0]
        report = ReportBuffer(device)
        self._room = max(1, device.room_bytes())
        with self._timed("allocate"):
            pointer, size = self._allocated(device, small=request.quick or request.shared)
        first_bytes = request.limits.first_bytes
        check = MemoryCheck(device, report, pointer, size, seed=request.seed, first_bytes=first_bytes)
        budget = self._budget.within(QUICK_SECONDS) if request.quick else self._budget
        with self._timed("memory"):
            self._memory = check.look(request.begin, budget, FINDINGS_MAX)
        with self._timed("free"):
            device.free(pointer)
            report.free()

    def _allocated(self, device: Device, *, small: bool) -> tuple[int, int]:
        """All the room there is, or what is enough for a small look. Each refusal makes the wish smaller."""
        limits = self._request.limits
        size = max(self._room - limits.left_bytes, self._room // 2)
        if small:
            size = min(limits.quick_bytes, self._room // 2)
        for _ in range(ALLOCATIONS_MAX):
            try:
                return device.allocate(size), size
            except OutOfRoom:
                size -= size // 8
        raise OutOfRoom(f"{size} bytes, though {self._room} are said to be free")

    def _measure(self) -> None:
        device = self._devices[0]
        with self._timed("rates"):
            self._rates = device.copy_rates(min(MEASURED_BYTES, device.room_bytes() // 8))

    def _check_host_rate(self) -> None:
        least = self._request.limits.host_rate_min
        with self._timed("host-rate"):
            found = self._devices[0].copy_rates(HOST_RATE_BYTES)["host-to-device"]
        if found < least:
            self._failed.append(f"copies from the host run at {found / 1e9:.2f} GB/s, not at {least / 1e9:.2f} or more")

    def _lacks_room(self) -> bool:
        limits = self._request.limits
        needed = limits.quick_bytes + limits.headroom_bytes
        return self._request.shared and any(device.room_bytes() < needed for device in self._devices)

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        began, self._doing = self._clock(), name
        try:
            yield
        finally:
            self._seconds[name] = self._clock() - began

    @property
    def _found(self) -> list[str]:
        # The plainest findings first: a wrong word explains a wrong product, not the other way round.
        return [*self._failed, *self._memory.findings, *self._arithmetic]

    def _answer(self, skipped: str) -> Answer:
        facts = self._devices[0].facts
        return Answer(
            memory_bytes=facts.memory_bytes,
            multiprocessors=facts.multiprocessors,
            findings=tuple(self._found[:FINDINGS_MAX]),
            memory_coverage=min(1.0, self._memory.covered_bytes / self._room),
            pairs_left=self._pairs_left,
            skipped=skipped,
            seconds=self._seconds,
            rates=self._rates,
        )
