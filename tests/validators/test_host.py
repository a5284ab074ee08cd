"""All of the CUDA validator but the GPU: children, protocol, plan and kernels, on memory with planted faults."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from partita_plugins.backends.nvml import NvmlBackend
from partita_plugins.backends.simulated import (
    BrokenLink,
    Fault,
    FaultyMultiprocessor,
    GpuLost,
    HungCall,
    SimulatedBackend,
    StuckBit,
    StuckLine,
    open_backend,
)
from partita_plugins.contracts import Depth, Look, ValidationTarget
from partita_plugins.errors import BackendError, InvalidInput
from partita_plugins.model.mig import Placement
from partita_plugins.testing.contracts.validator import ValidatorContract
from partita_plugins.testing.gpu import host_validator
from partita_plugins.testing.gpu.opener import opener
from partita_plugins.testing.gpu.validator import LIMITS
from partita_plugins.validators.cuda.child import answered
from partita_plugins.validators.cuda.conversation import Heard
from partita_plugins.validators.cuda.messages import Answer, Request
from partita_plugins.validators.cuda.validator import CudaValidator
from partita_plugins.validators.cuda.verdict import answer_of
from tests.validators.partitions import made_partition
from tests.waiting import WAIT_SECONDS

SMALL = msgspec.structs.replace(LIMITS, quick_bytes=2**16)
"""So that a quick look takes less than the smallest partition has."""

FULL = Look(depth=Depth.FULL, deadline_seconds=WAIT_SECONDS)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> SimulatedBackend:
    """One machine for all tests here: a child that waits is ready for each."""
    return open_backend(tmp_path_factory.mktemp("machine"), "hgx-h100", seed="node-a", words=2**19)


@pytest.fixture(scope="module")
def shared_validator(node: SimulatedBackend) -> Iterator[CudaValidator]:
    made = host_validator(node, limits=SMALL, spares=1)
    yield made
    made.close()


@pytest.fixture
def validator(shared_validator: CudaValidator) -> CudaValidator:
    """With a child that waits."""
    assert shared_validator.warm(WAIT_SECONDS)
    return shared_validator


@pytest.fixture(scope="module")
def target(node: SimulatedBackend) -> ValidationTarget:
    """The smallest partition, so that the CPU has 16 multiprocessors to be."""
    return made_partition(node, 7, 19, Placement(6, 1), memory_mib=9984, multiprocessors=16)


@pytest.fixture(autouse=True)
def _mended(node: SimulatedBackend) -> Iterator[None]:
    yield
    for fault_id in node.faults.all():
        node.faults.lift(fault_id)


class TestPartition(ValidatorContract):
    """The validator contract on a MIG partition."""


def _faults(uuid: str) -> dict[str, tuple[Fault, str]]:
    """A fault and words that its finding has."""
    effects = {
        "wrong-bit": "on multiprocessor 7",
        "nan": "is 0x7fc00000",
        "swapped-lanes": "product",
        "idle": "15 of 16 multiprocessors took part",
    }
    return {
        "stuck bit": (StuckBit(gpu_uuid=uuid, word=400_000, bit=7), "bit 7 of word 0x1a80 reads 1"),
        "stuck line": (StuckLine(gpu_uuid=uuid, line=15), "word 0x"),
        **{
            effect: (FaultyMultiprocessor(gpu_uuid=uuid, effect=effect, multiprocessor=7), words)  # type: ignore[arg-type]
            for effect, words in effects.items()
        },
        "a GPU that falls off the bus": (GpuLost(gpu_uuid=uuid), "CUDA error 719"),
    }


@pytest.mark.parametrize("name", _faults(""))
def test_a_planted_fault_is_found(node: SimulatedBackend, target: ValidationTarget, name: str) -> None:
    fault, words = _faults(target.gpu.uuid)[name]
    node.faults.plant(fault)
    found = _looked_here(node, target).findings
    assert any(words in finding for finding in found), found
    assert len(found) <= 8


def test_without_faults_there_are_no_findings(node: SimulatedBackend, target: ValidationTarget) -> None:
    assert _looked_here(node, target).findings == ()


def test_copies_from_the_host_that_crawl_are_found_by_a_full_look(
    node: SimulatedBackend, whole: ValidationTarget, target: ValidationTarget
) -> None:
    asked = msgspec.structs.replace(SMALL, host_rate_min=1e15)
    assert "from the host run at" in _looked_here(node, whole, limits=asked).findings[0]
    assert _looked_here(node, whole, limits=asked, quick=True).findings == ()
    with closing(host_validator(node, limits=asked, spares=0)) as validator:
        assert validator.validate(target, FULL).passed  # partitions share their GPU's link


def test_copies_that_were_not_made_in_time_prove_nothing_unless_given_up(
    node: SimulatedBackend, whole: ValidationTarget
) -> None:
    uuids = tuple(gpu.uuid for gpu in node.discover().gpus[:3])
    answer = _looked_here(node, whole, visible=uuids, budget_seconds=0.0)
    assert (answer.findings, answer.pairs_left) == ((), 6)
    said = Heard(answer=answer, started=True, gave_up=False, late=False, gone=True)
    with pytest.raises(BackendError, match=r"6 copies from GPU to GPU were not made within 60 s \(TIMEOUT\)"):
        answer_of(said, FULL)
    assert answer_of(said, replace(FULL, given_up=lambda: True)) is answer


def _looked_here(node: SimulatedBackend, target: ValidationTarget, **asked: Any) -> Answer:
    """What a child would answer, without one."""
    usual = Request(visible=(target.cuda_uuid,), quick=False, budget_seconds=10.0, seed=0xBEE, limits=SMALL)
    request = msgspec.structs.replace(usual, **asked)
    answer = answered(request, opener(node), lambda: None, lambda: False)
    assert isinstance(answer, Answer)
    return answer


def test_full_covers_all_of_the_memory_from_wherever_it_begins(
    validator: CudaValidator, target: ValidationTarget
) -> None:
    for begin in (0.0, 0.7):
        result = validator.validate(target, replace(FULL, begin=begin))
        assert result.passed
        assert (result.memory_begin, result.memory_coverage) == (begin, 1.0)


def test_a_broken_link_fails_the_pair_in_both_directions(
    node: SimulatedBackend, validator: CudaValidator, whole: ValidationTarget
) -> None:
    targets = [replace(whole, gpu=gpu) for gpu in node.discover().gpus[:3]]
    assert validator.validate_peers(targets, FULL).passed
    a, _, c = (target.gpu.uuid for target in targets)
    node.faults.plant(BrokenLink(gpu_uuid=c, peer_uuid=a))
    found = validator.validate_peers(targets, FULL).findings
    assert [finding.partition(": copy")[0] for finding in found] == [f"{a} to {c}", f"{c} to {a}"]


def test_a_kernel_that_does_not_end_is_a_finding_after_the_deadline(
    node: SimulatedBackend, validator: CudaValidator, target: ValidationTarget
) -> None:
    node.faults.plant(HungCall(gpu_uuid=target.gpu.uuid, call="launch"))
    result = validator.validate(target, replace(FULL, deadline_seconds=2.0))
    assert result.findings == ("the device did not finish within 2 s",)


def test_a_device_that_does_not_open_in_time_is_an_error_that_blames_nobody(
    node: SimulatedBackend, validator: CudaValidator, target: ValidationTarget
) -> None:
    node.faults.plant(HungCall(gpu_uuid=target.gpu.uuid, call="open_memory"))
    with pytest.raises(BackendError, match=r"was not open within 0.5 s .*persistence mode"):
        validator.validate(target, replace(FULL, deadline_seconds=0.5))


def test_given_up_at_once_covers_nothing_and_passes(validator: CudaValidator, target: ValidationTarget) -> None:
    result = validator.validate(target, replace(FULL, given_up=lambda: True))
    assert result.passed
    assert result.memory_coverage == 0.0


def test_beside_others_it_needs_room_for_them_too(node: SimulatedBackend, target: ValidationTarget) -> None:
    for headroom, skipped in ((0, ""), (2**30, "shared")):
        validator = host_validator(node, limits=msgspec.structs.replace(SMALL, headroom_bytes=headroom), spares=0)
        result = validator.validate(target, replace(FULL, shared=True))
        assert (result.skipped, result.findings) == (skipped, ())
        assert (result.memory_coverage > 0) == (not skipped)


def test_it_says_that_real_gpus_are_not_for_it(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="for simulated GPUs alone; give --validator cupy"):
        host_validator(NvmlBackend(tmp_path, root=tmp_path, device_root=tmp_path))
