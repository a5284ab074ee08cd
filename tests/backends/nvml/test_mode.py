"""A refused switch of MIG mode, where the driver keeps the wish for the next reset."""

from __future__ import annotations

import pynvml
import pytest

from partita_plugins.backends.nvml import mode
from partita_plugins.errors import NvmlCode
from partita_plugins.testing.contracts.answers import refused


class BusyGpu:
    """A GPU whose mode becomes pending and not current, for the reason that the activation status gives."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, needs_reset: bool, status: int) -> None:
        self.pending = 0
        architecture = pynvml.NVML_DEVICE_ARCH_AMPERE if needs_reset else pynvml.NVML_DEVICE_ARCH_HOPPER
        self._status = status
        for name, stand_in in {
            "nvmlDeviceGetMigMode": lambda _: [0, self.pending],
            "nvmlDeviceSetMigMode": self.set,
            "nvmlDeviceGetArchitecture": lambda _: architecture,
            "nvmlDeviceGetFieldValues": lambda *_: (),
        }.items():
            monkeypatch.setattr(pynvml, name, stand_in)
        monkeypatch.setattr(mode, "holders", lambda _: "stop train (PID 7)")

    def set(self, _: object, wanted: int) -> int:
        self.pending = wanted
        return self._status


@pytest.mark.parametrize(
    ("needs_reset", "status", "code", "pending"),
    [
        (False, NvmlCode.IN_USE, NvmlCode.IN_USE, 0),
        (True, NvmlCode.IN_USE, NvmlCode.IN_USE, 1),
        (True, NvmlCode.RESET_REQUIRED, NvmlCode.RESET_REQUIRED, 1),
        (True, pynvml.NVML_SUCCESS, NvmlCode.RESET_REQUIRED, 1),
    ],
)
def test_only_a_gpu_that_needs_a_reset_keeps_the_mode_pending(
    monkeypatch: pytest.MonkeyPatch, needs_reset: bool, status: int, code: NvmlCode, pending: int
) -> None:
    gpu = BusyGpu(monkeypatch, needs_reset=needs_reset, status=status)
    with refused(code):
        mode.switch(object(), "GPU-1", enabled=True)
    assert gpu.pending == pending
