"""Contract of Validator: honest about a sound device, and about what it looked at."""

from __future__ import annotations

import time
from dataclasses import replace

from partita_plugins.contracts import Depth, Look, ValidationTarget, Validator

DEADLINE_SECONDS = 60.0
"""Of looks that end by themselves, on however busy a machine."""


class ValidatorContract:
    """Supply `validator`, and `target`: a sound device with what it truly is."""

    def test_a_sound_device_passes_at_either_depth(self, validator: Validator, target: ValidationTarget) -> None:
        for depth in Depth:
            result = validator.validate(target, Look(depth=depth, deadline_seconds=DEADLINE_SECONDS))
            assert result.findings == ()
            assert result.passed
            assert (result.method, result.depth) == (validator.name, depth)

    def test_less_memory_than_promised_is_a_finding(self, validator: Validator, target: ValidationTarget) -> None:
        promised = replace(target, memory_mib=target.memory_mib + 1024)
        result = validator.validate(promised, Look(depth=Depth.QUICK, deadline_seconds=DEADLINE_SECONDS))
        assert any(str(target.memory_mib) in finding and "memory" in finding for finding in result.findings)

    def test_fewer_multiprocessors_than_promised_is_a_finding(
        self, validator: Validator, target: ValidationTarget
    ) -> None:
        promised = replace(target, multiprocessors=target.multiprocessors + 2)
        result = validator.validate(promised, Look(depth=Depth.QUICK, deadline_seconds=DEADLINE_SECONDS))
        assert any(str(target.multiprocessors) in finding for finding in result.findings)

    def test_full_covers_more_than_quick_and_never_more_than_all(
        self, validator: Validator, target: ValidationTarget
    ) -> None:
        quick = validator.validate(target, Look(depth=Depth.QUICK, deadline_seconds=DEADLINE_SECONDS)).memory_coverage
        full = validator.validate(target, Look(depth=Depth.FULL, deadline_seconds=DEADLINE_SECONDS)).memory_coverage
        assert 0 < quick < full <= 1

    def test_a_deadline_is_kept(self, validator: Validator, target: ValidationTarget) -> None:
        began = time.monotonic()
        result = validator.validate(target, Look(depth=Depth.FULL, deadline_seconds=5.0))
        assert time.monotonic() - began < 20
        assert 0 <= result.seconds < 20
