"""A device that computes: what a validator is asked, and what it promises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from partita_plugins.model.gpu import Gpu
from partita_plugins.model.instances import GpuInstance


class Depth(StrEnum):
    """How much a validation looks at: QUICK for 100 ms, FULL for what its deadline allows.

    On a real GPU the start of CUDA comes on top of the 100 ms: 0.2 to 1 s, and seconds without persistence mode.
    """

    QUICK = "quick"
    FULL = "full"


def never() -> bool:
    """For a look that nobody gives up."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a validation is asked for."""

    depth: Depth
    deadline_seconds: float
    begin: float = 0.0
    """Where in the memory to begin, as a share of it: the look goes on from there, and around its end."""

    shared: bool = False
    """Others may compute on the GPU meanwhile: memory is left for them, and no kernel takes 10 ms."""

    given_up: Callable[[], bool] = never
    """Asked every few milliseconds: once it says yes the look ends with what it has seen so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationTarget:
    """One CUDA device and what it was promised to be."""

    gpu: Gpu
    instance: GpuInstance | None
    memory_mib: int
    multiprocessors: int

    @property
    def cuda_uuid(self) -> str:
        """What CUDA_VISIBLE_DEVICES takes."""
        if self.instance is None:
            return self.gpu.uuid
        return self.instance.compute_instances[0].mig_uuid


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationResult:
    """What a validation found: no findings, the device passed."""

    method: str
    depth: Depth
    seconds: float
    findings: tuple[str, ...] = ()
    """One plain sentence each, for an event: "bit 7 of word 0x1a2b3c reads 1"."""

    memory_begin: float = 0.0
    """Where in the memory it began, as a share of it."""

    memory_coverage: float = 0.0
    """Share of the memory that a program can have of the device that was written and read back, 0 to 1."""

    skipped: str = ""
    """Why nothing was computed: "shared", where there is no room beside the others; empty: it was."""

    @property
    def passed(self) -> bool:
        return not self.findings

    @property
    def memory_end(self) -> float:
        """Where it ended, and the next look goes on; a look that covered nothing ended where it began."""
        return (self.memory_begin + self.memory_coverage) % 1.0


class Validator(Protocol):
    """Computes on a device and compares with known answers."""

    name: str

    def validate(self, target: ValidationTarget, look: Look) -> ValidationResult:
        """Run within the deadline. A wrong answer is a finding, never an exception; BackendError if it cannot run.

        DeviceHung where what it has begun cannot be ended: the GPU is hung, and this call does not wait for it.
        """

    def validate_peers(self, targets: Sequence[ValidationTarget], look: Look) -> ValidationResult:
        """Copy directly between every two of several whole GPUs that were promised NVLink, and compare.

        A pair that cannot reach each other is a finding, never skipped in silence. Otherwise as `validate`.
        """


@runtime_checkable
class Closeable(Protocol):
    """A validator that keeps something ready for the next look, such as children that wait."""

    def close(self) -> None:
        """Let go of it, and keep nothing ready from now on. A look in progress goes on."""
