"""A validation that cannot be ended hangs its GPU: quarantined in the same second, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from partita_driver.hardware.workers import Hung
from partita_plugins.contracts import Look, ValidationResult, ValidationTarget
from partita_plugins.errors import DeviceHung
from tests.driver.engine.nodes import Node, claim


class Stuck:
    """Its process takes no SIGKILL."""

    name = "stuck"

    def validate(self, target: ValidationTarget, look: Look) -> ValidationResult:
        raise DeviceHung("a validation cannot be ended")

    def validate_peers(self, targets: Sequence[ValidationTarget], look: Look) -> ValidationResult:
        return self.validate(targets[0], look)


def test_it_quarantines_the_gpu_as_hung(node: Node) -> None:
    node.engine._tools.validator = Stuck()
    with pytest.raises(Hung, match=r"^a validation cannot be ended.*reset the GPU$"):
        node.engine.prepare(claim(node.whole(0)))
    (fault,) = node.engine.faults()
    assert (fault.gpu_uuid, fault.reason) == (node.gpu_uuid(0), "hung")
    assert fault.message.startswith("a validation cannot be ended")
    assert [told.key for told in node.told] == [fault.key]
