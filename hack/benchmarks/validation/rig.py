"""One simulated GPU on the CPU to be looked at: by the validator that ships, and by what the field does."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hack.benchmarks.validation.baselines import BASELINES, Outcome, build_baselines
from hack.benchmarks.validation.planted import Part
from msgspec.structs import replace

from partita_plugins.backends.simulated import SimulatedBackend, open_backend
from partita_plugins.backends.simulated.faults import Fault
from partita_plugins.contracts import Depth, ValidationResult, ValidationTarget
from partita_plugins.testing.gpu.build import build_kernels
from partita_plugins.testing.gpu.device import HostDevice
from partita_plugins.testing.gpu.kernels import HostKernels
from partita_plugins.testing.gpu.validator import LIMITS
from partita_plugins.validators.cuda.messages import Answer, Limits, Request
from partita_plugins.validators.cuda.plan import Plan
from partita_plugins.validators.cuda.port import Device
from partita_plugins.validators.cuda.verdict import figures

D = TypeVar("D", bound=HostDevice)

PARTITA = "partita"
METHODS = (PARTITA, *BASELINES)

AMPLE_SECONDS = 600.0
"""A budget that is never over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """A GPU of a machine of its own, and the code that looks at it."""

    backend: SimulatedBackend
    target: ValidationTarget
    words: int
    kernels: HostKernels
    baselines: HostKernels
    limits: Limits

    @property
    def part(self) -> Part:
        """What a fault can be planted in."""
        return Part(gpu_uuid=self.target.gpu.uuid, words=self.words, multiprocessors=self.target.multiprocessors)

    @contextmanager
    def broken(self, fault: Fault) -> Iterator[None]:
        """The GPU has this fault for the block."""
        fault_id = self.backend.faults.plant(fault)
        try:
            yield
        finally:
            self.backend.faults.lift(fault_id)

    def device(self, kernels: HostKernels, kind: type[D]) -> D:
        """A fresh context."""
        gpu = self.target.gpu
        return kind(
            self.backend.open_memory(gpu.uuid, None),
            kernels,
            uuid=gpu.uuid,
            compute_capability=int(gpu.compute_capability.replace(".", "")),
            link=lambda _source, _destination: True,
            hang=lambda: None,
        )

    def look(self, method: str, seed: int) -> Outcome:
        """One look at all of the GPU, by a method of METHODS."""
        if method == PARTITA:
            result = self.validate(self.device(self.kernels, HostDevice), seed)
            return Outcome(found=not result.passed, coverage=result.memory_coverage)
        return BASELINES[method](self.device(self.baselines, HostDevice), seed)

    def validate(
        self,
        device: Device,
        seed: int,
        *,
        depth: Depth = Depth.FULL,
        begin: float = 0.0,
        budget_seconds: float = AMPLE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> ValidationResult:
        """What a child of the validator does with the request for a look, and what its parent makes of the answer."""
        request = Request(
            visible=(self.target.cuda_uuid,),
            quick=depth is Depth.QUICK,
            budget_seconds=budget_seconds,
            begin=begin,
            seed=seed,
            limits=self.limits,
        )
        began = clock()
        answer: Answer = Plan(request, [device], began=began, clock=clock, given_up=lambda: False).run()
        return ValidationResult(
            method=PARTITA,
            depth=depth,
            seconds=clock() - began,
            findings=(*figures(answer, [self.target]), *answer.findings),
            memory_begin=begin,
            memory_coverage=answer.memory_coverage,
        )


@contextmanager
def rig(machine: str, words: int, *, rounds: int = 1) -> Iterator[Rig]:
    """A rig for the block: the first GPU of a machine of the catalog, with so many words behind its memory.

    `rounds` is how often the arithmetic is gone through; 0: not at all, where only memory is of interest.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        backend = open_backend(Path(folder), machine, seed="bench", words=words)
        gpu = backend.discover().gpus[0]
        yield Rig(
            backend=backend,
            target=ValidationTarget(
                gpu=gpu, instance=None, memory_mib=gpu.memory_mib, multiprocessors=gpu.multiprocessors
            ),
            words=backend.open_memory(gpu.uuid, None).words,
            kernels=HostKernels(build_kernels()),
            baselines=HostKernels(build_baselines()),
            limits=replace(LIMITS, rounds=rounds, first_bytes=words // 8),
        )
