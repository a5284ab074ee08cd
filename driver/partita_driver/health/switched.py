"""A validator that a node's settings switch off for Prepare, but never for hardware that is quarantined."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

from partita_driver.engine import ClaimEngine
from partita_driver.health.faults import Fault
from partita_driver.journal.records import SWITCHED_OFF
from partita_plugins.contracts import Look, ValidationResult, ValidationTarget, Validator


class SwitchedValidator:
    """Passes every device unseen while `enabled` says no; thread-safe."""

    def __init__(self, inner: Validator, enabled: Callable[[], bool]) -> None:
        self.name = inner.name
        self._inner, self._enabled = inner, enabled
        self._lock = threading.Lock()
        self._forced = 0

    def validate(self, target: ValidationTarget, look: Look) -> ValidationResult:
        with self._lock:
            looking = self._forced > 0
        if looking or self._enabled():
            return self._inner.validate(target, look)
        return ValidationResult(method=SWITCHED_OFF, depth=look.depth, seconds=0.0)

    def validate_peers(self, targets: Sequence[ValidationTarget], look: Look) -> ValidationResult:
        with self._lock:
            looking = self._forced > 0
        if looking or self._enabled():
            return self._inner.validate_peers(targets, look)
        return ValidationResult(method=SWITCHED_OFF, depth=look.depth, seconds=0.0)

    @contextmanager
    def forced(self) -> Iterator[None]:
        """Validate everything meanwhile: a quarantine is lifted by an answer, never by a setting."""
        with self._lock:
            self._forced += 1
        try:
            yield
        finally:
            with self._lock:
                self._forced -= 1


class Quarantine:
    """The engine's faults, with validation switched on whenever one is tried again."""

    def __init__(self, engine: ClaimEngine, validator: SwitchedValidator | None) -> None:
        self.faults, self.add_faults, self.refresh = engine.faults, engine.add_faults, engine.refresh
        self.check_health, self.wait_events = engine.check_health, engine.wait_events
        self._engine, self._validator = engine, validator

    def revalidate(self, fault: Fault) -> bool:
        with self._validator.forced() if self._validator else nullcontext():
            return self._engine.revalidate(fault)
