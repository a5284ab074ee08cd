"""Errors that say what to do next.

PartitaError
├── Retryable          try again after delay_seconds; nothing is lost
├── Permanent          trying again will not help; advice says what will
│   ├── InvalidInput   a person wrote something we cannot take
│   └── ValidationFailed   a device gave a wrong answer
└── BackendError       what the hardware answered, by NVML's own code
    └── DeviceHung     it does not answer, and holds a process that nobody can end
"""

from __future__ import annotations

from enum import IntEnum


class PartitaError(Exception):
    """Any error of Partita: `str()` is one line for an event, `advice` the next action for a person."""

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(f"{message}; {advice}" if advice else message)
        self.advice = advice

    @property
    def finding(self) -> str:
        """What is wrong, without the advice."""
        return str(self).removesuffix(f"; {self.advice}")


class Retryable(PartitaError):
    """The same call may succeed after `delay_seconds`."""

    def __init__(self, message: str, *, delay_seconds: float = 1.0, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.delay_seconds = delay_seconds


class Permanent(PartitaError):
    """The same call will fail again until somebody follows the advice."""


class InvalidInput(Permanent):
    """A claim, a setting or a request that cannot be taken as written."""


class ValidationFailed(Permanent):
    """A device computed, remembered or measured something wrong: it must not be handed out."""


class NvmlCode(IntEnum):
    """Return codes of nvml.h that a backend answers with."""

    UNINITIALIZED = 1
    INVALID_ARGUMENT = 2
    NOT_SUPPORTED = 3
    NO_PERMISSION = 4
    NOT_FOUND = 6
    INSUFFICIENT_POWER = 8
    DRIVER_NOT_LOADED = 9
    TIMEOUT = 10
    IRQ_ISSUE = 11
    LIBRARY_NOT_FOUND = 12
    FUNCTION_NOT_FOUND = 13
    CORRUPTED_INFOROM = 14
    GPU_IS_LOST = 15
    RESET_REQUIRED = 16
    LIB_RM_VERSION_MISMATCH = 18
    IN_USE = 19
    INSUFFICIENT_RESOURCES = 23
    NOT_READY = 27
    INVALID_STATE = 29
    UNKNOWN = 999


class BackendError(PartitaError):
    """The device backend refused or failed a call: `code` is NVML's."""

    def __init__(self, code: NvmlCode, message: str, *, advice: str = "") -> None:
        super().__init__(f"{message} ({code.name})", advice=advice)
        self.code = code


class DeviceHung(BackendError):
    """A process that uses the GPU cannot be ended, not by SIGKILL: the kernel waits for the GPU on its behalf.

    Whoever gets it quarantines the GPU as hung, and calls nothing on it until a person has reset it.
    """

    def __init__(self, message: str) -> None:
        super().__init__(NvmlCode.TIMEOUT, message, advice="look for NVRM lines in the kernel log; reset the GPU")
