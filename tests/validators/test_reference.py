"""The reference validator finds what is broken in the device it was given, and nothing else."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from partita_plugins import registry
from partita_plugins.backends.nvml import NvmlBackend
from partita_plugins.backends.simulated import (
    BrokenLink,
    GpuLost,
    MissingMultiprocessor,
    SimulatedBackend,
    StuckBit,
    StuckLine,
    WrongMemorySize,
    open_backend,
)
from partita_plugins.backends.simulated.memory import SimulatedMemory
from partita_plugins.contracts import Depth, Look, ValidationTarget
from partita_plugins.errors import BackendError, InvalidInput
from partita_plugins.testing.contracts.validator import ValidatorContract
from partita_plugins.validators.memory_pass import BLOCK_WORDS
from partita_plugins.validators.reference import FINDINGS_MAX, ReferenceValidator
from tests.waiting import WAIT_SECONDS

WORDS = 2**19


class TestWholeGpu(ValidatorContract):
    """The validator contract on a whole GPU."""

    @pytest.fixture
    def target(self, whole: ValidationTarget) -> ValidationTarget:
        return whole


class TestPartition(ValidatorContract):
    """The validator contract on a MIG partition."""

    @pytest.fixture
    def target(self, partition: ValidationTarget) -> ValidationTarget:
        return partition


def test_it_is_installed_under_its_name() -> None:
    assert registry.load("partita.validators", "reference") is ReferenceValidator


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(word=st.integers(0, WORDS - 1), bit=st.integers(0, 31), value=st.integers(0, 1))
def test_full_finds_any_stuck_bit_wherever_it_is(
    *, node: SimulatedBackend, validator: ReferenceValidator, whole: ValidationTarget, word: int, bit: int, value: int
) -> None:
    fault_id = node.faults.plant(StuckBit(gpu_uuid=whole.gpu.uuid, word=word, bit=bit, value=value))
    result = validator.validate(whole, Look(depth=Depth.FULL, deadline_seconds=WAIT_SECONDS))
    node.faults.lift(fault_id)
    assert result.findings[0] == f"bit {bit} of word {word:#x} reads {value}, expected {1 - value}"
    assert result.memory_coverage == 1.0


def test_a_stuck_bit_fails_the_partition_that_covers_it_and_no_other(
    node: SimulatedBackend, validator: ReferenceValidator, partition: ValidationTarget
) -> None:
    uuid = partition.gpu.uuid
    outside = node.faults.plant(StuckBit(gpu_uuid=uuid, word=WORDS // 2 - 1, bit=4))
    other_gpu = node.faults.plant(StuckBit(gpu_uuid=node.discover().gpus[2].uuid, word=WORDS // 2 + 9, bit=4))
    assert validator.validate(partition, Look(depth=Depth.FULL, deadline_seconds=WAIT_SECONDS)).passed
    assert outside != other_gpu
    node.faults.plant(StuckBit(gpu_uuid=uuid, word=WORDS // 2 + 100_000, bit=4))
    found = validator.validate(partition, Look(depth=Depth.FULL, deadline_seconds=WAIT_SECONDS)).findings
    assert len(found) == 1
    assert found[0].startswith(f"bit 4 of word {100_000:#x} reads 1")


def test_two_bits_of_one_word_are_told_as_one_word(
    node: SimulatedBackend, validator: ReferenceValidator, whole: ValidationTarget
) -> None:
    for bit in range(32):
        node.faults.plant(StuckBit(gpu_uuid=whole.gpu.uuid, word=70_000, bit=bit, value=0))
    found = validator.validate(whole, Look(depth=Depth.FULL, deadline_seconds=WAIT_SECONDS)).findings
    assert found
    assert all(finding.startswith("word 0x11170 reads 0x00000000, expected 0x") for finding in found)


def test_findings_are_bounded(node: SimulatedBackend, validator: ReferenceValidator, whole: ValidationTarget) -> None:
    for word in range(40):
        node.faults.plant(StuckBit(gpu_uuid=whole.gpu.uuid, word=word * 11_000, bit=0))
    assert (
        len(validator.validate(whole, Look(depth=Depth.FULL, deadline_seconds=WAIT_SECONDS)).findings) == FINDINGS_MAX
    )


@pytest.mark.parametrize(("word", "wrong"), [(5, "matrix product"), (3 * 64 * 64 + 5, "multiply-add chain")])
def test_a_wrong_operand_shows_in_the_arithmetic(
    node: SimulatedBackend, validator: ReferenceValidator, whole: ValidationTarget, word: int, wrong: str
) -> None:
    """Operands live in the device's memory: the factors first, then the product, then the chains' numbers."""
    node.faults.plant(StuckBit(gpu_uuid=whole.gpu.uuid, word=word, bit=22))
    node.faults.plant(StuckBit(gpu_uuid=whole.gpu.uuid, word=word, bit=23, value=0))
    found = validator.validate(whole, Look(depth=Depth.FULL, deadline_seconds=WAIT_SECONDS)).findings
    assert wrong in {finding.split(":")[0] for finding in found}


def test_memory_that_is_its_own_image_is_found(
    node: SimulatedBackend, validator: ReferenceValidator, whole: ValidationTarget
) -> None:
    node.faults.plant(StuckLine(gpu_uuid=whole.gpu.uuid, line=17))
    assert not validator.validate(whole, Look(depth=Depth.FULL, deadline_seconds=WAIT_SECONDS)).passed


def test_a_broken_link_fails_the_pair_in_both_directions(
    node: SimulatedBackend, validator: ReferenceValidator, whole: ValidationTarget
) -> None:
    gpus = node.discover().gpus[:3]
    targets = [replace(whole, gpu=gpu) for gpu in gpus]
    look = Look(depth=Depth.FULL, deadline_seconds=WAIT_SECONDS)
    assert validator.validate_peers(targets, look).passed
    node.faults.plant(BrokenLink(gpu_uuid=gpus[2].uuid, peer_uuid=gpus[0].uuid))
    found = validator.validate_peers(targets, look).findings
    assert [finding.partition(": copy")[0] for finding in found] == [
        f"{gpus[0].uuid} to {gpus[2].uuid}",
        f"{gpus[2].uuid} to {gpus[0].uuid}",
    ]


def test_figures_below_the_promise_are_found_at_either_depth(
    node: SimulatedBackend, validator: ReferenceValidator, partition: ValidationTarget
) -> None:
    node.faults.plant(WrongMemorySize(gpu_uuid=partition.gpu.uuid, missing_mib=256, memory_slice=5))
    node.faults.plant(MissingMultiprocessor(gpu_uuid=partition.gpu.uuid, memory_slice=6))
    for depth in Depth:
        assert validator.validate(partition, Look(depth=depth, deadline_seconds=WAIT_SECONDS)).findings == (
            "the device has 40192 MiB of memory, 40448 were promised",
            "the device has 59 multiprocessors, 60 were promised",
        )


def test_quick_takes_less_than_a_tenth_of_a_second(node: SimulatedBackend, whole: ValidationTarget) -> None:
    """On a clock that ticks five milliseconds at each look, all that it does not get through is left out."""
    ticks = itertools.count()
    slow = ReferenceValidator(node, clock=lambda: next(ticks) / 200)
    result = slow.validate(whole, Look(depth=Depth.QUICK, deadline_seconds=WAIT_SECONDS))
    assert result.passed
    assert 0.05 < result.seconds < 0.1


def test_a_deadline_that_is_too_short_is_told_as_coverage(node: SimulatedBackend, whole: ValidationTarget) -> None:
    """A clock that ticks a millisecond at each look: the memory pass ends by count, not by luck."""
    ticks = itertools.count()
    hasty = ReferenceValidator(node, clock=lambda: next(ticks) / 1000)
    result = hasty.validate(whole, Look(depth=Depth.FULL, deadline_seconds=0.02))
    assert result.passed
    assert 0 < result.memory_coverage < 1


def test_no_time_at_all_is_no_coverage_and_no_crash(node: SimulatedBackend, whole: ValidationTarget) -> None:
    ticks = itertools.count()
    result = ReferenceValidator(node, clock=lambda: float(next(ticks))).validate(
        whole, Look(depth=Depth.FULL, deadline_seconds=0.5)
    )
    assert result.memory_coverage == 0.0


def test_a_device_that_cannot_be_opened_is_an_error_not_a_finding(
    node: SimulatedBackend, validator: ReferenceValidator, whole: ValidationTarget
) -> None:
    node.faults.plant(GpuLost(gpu_uuid=whole.gpu.uuid))
    with pytest.raises(BackendError, match="GPU_IS_LOST"):
        validator.validate(whole, Look(depth=Depth.QUICK, deadline_seconds=WAIT_SECONDS))


def test_it_says_that_real_gpus_are_not_for_it(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="simulated GPUs alone; give --validator none"):
        ReferenceValidator(NvmlBackend(tmp_path, root=tmp_path, device_root=tmp_path))  # type: ignore[arg-type]


def test_looks_that_go_on_where_the_last_ended_leave_no_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """49 blocks, a few at a look: where one ends is no exact binary fraction."""
    node = open_backend(tmp_path / "hardware", "l40s-x8", seed="node-a", words=49 * BLOCK_WORDS)
    [gpu, *_] = node.discover().gpus
    target = ValidationTarget(gpu=gpu, instance=None, memory_mib=gpu.memory_mib, multiprocessors=gpu.multiprocessors)
    ticks = itertools.count()
    validator = ReferenceValidator(node, clock=lambda: float(next(ticks)))
    written: list[int] = []
    monkeypatch.setattr(SimulatedMemory, "write", lambda _memory, offset, _values: written.append(offset))
    monkeypatch.setattr(SimulatedMemory, "read", lambda memory, offset, count: memory.window[offset : offset + count])
    begin = 0.0
    for _ in range(60):
        written.clear()
        seen = validator.validate(target, Look(depth=Depth.FULL, deadline_seconds=16.0, begin=begin))
        assert 0 < seen.memory_coverage < 0.2
        assert seen.memory_begin == written[0] / (49 * BLOCK_WORDS)
        assert seen.memory_begin <= begin + 1e-9, "a part is left out"
        begin = (seen.memory_begin + seen.memory_coverage) % 1.0
