"""NVML's answers as values: what a GPU cannot tell, field values, and errors with the next action."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import pynvml

from partita_plugins.errors import BackendError, NvmlCode

T = TypeVar("T")
D = TypeVar("D")

CANNOT_TELL = frozenset(
    {
        pynvml.NVML_ERROR_NOT_SUPPORTED,
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
        pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
        pynvml.NVML_ERROR_DEPRECATED,
        pynvml.NVML_ERROR_NO_DATA,
    }
)
"""The GPU, its mode or its driver has no such thing."""

NOT_THERE = CANNOT_TELL | {pynvml.NVML_ERROR_INVALID_ARGUMENT}
"""Answers to a number that this GPU does not have: of a link, of a profile."""

ADVICE = {
    NvmlCode.DRIVER_NOT_LOADED: "load the NVIDIA driver: `nvidia-smi` must work on the node",
    NvmlCode.LIBRARY_NOT_FOUND: "install NVIDIA's driver on the node; --driver-root says where that is",
    NvmlCode.LIB_RM_VERSION_MISMATCH: "NVIDIA's driver was updated while loaded: restart this process, or reboot",
    NvmlCode.NO_PERMISSION: "run as root with CAP_SYS_ADMIN",
    NvmlCode.GPU_IS_LOST: "drain the node, then reset the GPU or reboot",
}
"""The next action where it is the same whatever was asked."""

_VALUE_OF = {
    pynvml.NVML_VALUE_TYPE_DOUBLE: "dVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_INT: "uiVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG: "ulVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG: "ullVal",
    pynvml.NVML_VALUE_TYPE_SIGNED_LONG_LONG: "sllVal",
    pynvml.NVML_VALUE_TYPE_SIGNED_INT: "siVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_SHORT: "usVal",
}


def optional(function: Callable[..., T], *arguments: object, otherwise: D) -> T | D:
    """What NVML answers, or `otherwise` where it cannot tell. Raises NVMLError for anything else."""
    try:
        return function(*arguments)
    except pynvml.NVMLError as error:
        if error.value in CANNOT_TELL:
            return otherwise
        raise


def fields(handle: object, ids: Iterable[int], scope: int = 0) -> dict[int, int]:
    """The field values that a GPU knows, by id; `scope` is the link where the field is about one."""
    asked = [(one, scope) for one in ids]
    found = optional(pynvml.nvmlDeviceGetFieldValues, handle, asked, otherwise=())
    return {
        one.fieldId: int(getattr(one.value, _VALUE_OF[one.valueType]))
        for one in found
        if one.nvmlReturn == pynvml.NVML_SUCCESS and one.valueType in _VALUE_OF
    }


def code_of(value: int) -> NvmlCode:
    """NVML's number as a code; UNKNOWN for those that no caller tells apart."""
    try:
        return NvmlCode(value)
    except ValueError:
        return NvmlCode.UNKNOWN


def as_backend_error(error: pynvml.NVMLError, doing: str, advice: str = "") -> BackendError:
    """The error of the port; the caller chains the cause."""
    code = code_of(error.value)
    return BackendError(code, f"{doing}: {error}", advice=advice or ADVICE.get(code, ""))
