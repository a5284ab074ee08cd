"""The validator for CUDA devices: a child process for each look."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence

import msgspec

from partita_plugins.contracts import Depth, Look, ValidationResult, ValidationTarget
from partita_plugins.errors import DeviceHung
from partita_plugins.model.instances import DeviceNode
from partita_plugins.validators.cuda.conversation import Heard, heard
from partita_plugins.validators.cuda.messages import Answer, Limits, Request
from partita_plugins.validators.cuda.plan import FINDINGS_MAX
from partita_plugins.validators.cuda.process import Process
from partita_plugins.validators.cuda.spares import Spares
from partita_plugins.validators.cuda.verdict import answer_of, figures

BUDGET_OF_DEADLINE = 0.7
"""The rest is for the child's end, and for what does not stop at a budget."""

SPARES = 2


def _none(_: ValidationTarget) -> Sequence[DeviceNode]:
    return ()


class CudaValidator:
    """Validator over devices that children open. Thread-safe: looks at different devices go side by side."""

    def __init__(
        self,
        name: str,
        start: Callable[[], Process],
        *,
        nodes: Callable[[ValidationTarget], Sequence[DeviceNode]] = _none,
        limits: Limits | None = None,
        spares: int = SPARES,
        clock: Callable[[], float] = time.monotonic,
        seed: Callable[[], int] = lambda: secrets.randbits(32),
    ) -> None:
        """`start` makes a child; the first ones are started here, to be ready when they are needed.

        `nodes` are device nodes that CUDA needs for a device: the child makes them, and CUDA finds no others.
        """
        self.name = name
        self._nodes, self._limits = nodes, limits or Limits()
        self._clock, self._seed = clock, seed
        self._spares = Spares(start, spares)
        self._spares.refill()
        self._lock = threading.Lock()
        self._hung: dict[str, Process] = {}

    def validate(self, target: ValidationTarget, look: Look) -> ValidationResult:
        """As the port promises. Raises DeviceHung where the child cannot be ended, and until it has ended."""
        return self._look([target], look)[0]

    def validate_peers(self, targets: Sequence[ValidationTarget], look: Look) -> ValidationResult:
        """One child sees all the devices: what each copies to each other is compared there."""
        return self._look(targets, look)[0]

    def measure(self, target: ValidationTarget, look: Look) -> tuple[ValidationResult, Answer]:
        """A look with all that the child has measured on the way: seconds of each part, rates of copies."""
        return self._look([target], look, measure=True)

    def warm(self, timeout_seconds: float = 30.0) -> bool:
        """Wait until the waiting children have imported all; whether they have."""
        return self._spares.warm(timeout_seconds)

    def close(self) -> None:
        """End the children that wait."""
        self._spares.close()

    def _look(
        self, targets: Sequence[ValidationTarget], look: Look, *, measure: bool = False
    ) -> tuple[ValidationResult, Answer]:
        began = self._clock()
        self._check_not_hung(targets)
        request = self._request(targets, look, measure=measure)
        process = self._spares.take()
        try:
            said = heard(process, request, look, began + look.deadline_seconds, self._clock)
        finally:
            self._spares.refill()
        if not said.gone:
            self._leave(targets, process, said)
        answer = answer_of(said, look)
        findings = (*figures(answer, targets), *answer.findings)[:FINDINGS_MAX]
        result = ValidationResult(
            method=self.name,
            depth=look.depth,
            seconds=self._clock() - began,
            findings=findings,
            memory_begin=look.begin,
            memory_coverage=answer.memory_coverage,
            skipped=answer.skipped,
        )
        return result, answer

    def _request(self, targets: Sequence[ValidationTarget], look: Look, *, measure: bool) -> Request:
        # Partitions share their GPU's link.
        whole = all(target.instance is None for target in targets)
        limits = self._limits if whole else msgspec.structs.replace(self._limits, host_rate_min=0.0)
        nodes = {node.path: (node.path, node.major, node.minor) for target in targets for node in self._nodes(target)}
        return Request(
            visible=tuple(target.cuda_uuid for target in targets),
            quick=look.depth is Depth.QUICK,
            budget_seconds=look.deadline_seconds * BUDGET_OF_DEADLINE,
            begin=look.begin,
            shared=look.shared,
            seed=self._seed(),
            measure=measure,
            limits=limits,
            nodes=tuple(nodes.values()),
        )

    def _check_not_hung(self, targets: Sequence[ValidationTarget]) -> None:
        """Nobody touches a GPU on which a child still hangs."""
        with self._lock:
            for target in targets:
                process = self._hung.get(target.gpu.uuid)
                if process is None:
                    continue
                if not process.gone(0):
                    raise _hung(target.gpu.uuid, "an earlier validation")
                del self._hung[target.gpu.uuid]

    def _leave(self, targets: Sequence[ValidationTarget], process: Process, said: Heard) -> None:
        with self._lock:
            for target in targets:
                self._hung[target.gpu.uuid] = process
        what = "a validation that had answered" if said.answer else "a validation"
        raise _hung(targets[0].gpu.uuid, what)


def _hung(gpu_uuid: str, what: str) -> DeviceHung:
    return DeviceHung(f"{what} on {gpu_uuid} cannot be ended: its process waits in the driver and takes no SIGKILL")
