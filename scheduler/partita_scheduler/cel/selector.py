"""The one door to the CEL library: device selectors as DeviceClasses and requests use them.

A selector runs once for each different content of what it reads, not once for each device: machines repeat.
"""

from __future__ import annotations

import logging
import threading
from functools import lru_cache
from typing import Any

import cel as library
from cel import stdlib

from partita_plugins.errors import InvalidInput, Permanent
from partita_plugins.wire.resource_slice import AttributeValue, Device
from partita_scheduler.cel.syntax import WHOLE, Reads, plain, reads
from partita_scheduler.cel.values import FUNCTIONS, quantity, semver

MAX_EXPRESSION = 10 * 1024
"""Kubernetes' limit."""

_MAX_SELECTORS = 2048
_MAX_RESULTS = 8192
"""Of one selector; each is a device content that was seen."""


_NOT_THERE = ("Undefined variable or function", "AttributeError")
"""In an error: a function that the library lacks, or has for other types only."""

# The library logs every error that it also raises.
logging.getLogger("cel").setLevel(logging.CRITICAL)


class CelError(Permanent):
    """The expression failed on a device: kube-scheduler gives up on the pod."""


class CelUnsupported(Permanent):
    """We cannot run this expression, so we have no opinion; kube-scheduler may well run it."""


class Selector:
    """A compiled expression. Thread-safe; equal expressions are the same object."""

    def __init__(self, expression: str) -> None:
        self.expression = expression
        self.reads: Reads = reads(plain(expression[:MAX_EXPRESSION]))
        self._results: dict[Any, bool | CelError] = {}
        self._program: Any = None
        self._unsupported = ""
        if len(expression) > MAX_EXPRESSION:
            self._unsupported = "longer than 10 KiB"
            return
        try:
            self._program = library.compile(plain(expression))
        except ValueError as error:
            self._unsupported = str(error).splitlines()[0]

    @property
    def reads_identity(self) -> bool:
        """Whether the result may depend on what tells equal machines apart."""
        fields = self.reads.fields
        return fields is None or any(identifier == "uuid" for _, _, identifier in fields)

    def matches(self, driver: str, device: Device) -> bool:
        """Whether the device is selected. Raises CelError or CelUnsupported."""
        if self._program is None:
            raise CelUnsupported(f"{self.expression[:80]!r}: {self._unsupported}")
        key = self._key(driver, device)
        found = self._results.get(key) if key is not None else None
        if found is None:
            found = self._run(driver, device)
            if key is not None and len(self._results) < _MAX_RESULTS:
                self._results[key] = found
        if isinstance(found, CelError):
            # A new one each time: one raised again and again keeps the stack of every time.
            raise CelError(str(found))
        return found

    def _key(self, driver: str, device: Device) -> tuple[Any, ...] | None:
        if self.reads.fields is None:
            return None
        key: list[Any] = [driver, device.allow_multiple_allocations]
        for part, domain, identifier in self.reads.fields:
            source: dict[str, Any] = getattr(device, part, {}) if identifier else {}
            value = source.get(f"{domain}/{identifier}") or (source.get(identifier) if domain == driver else None)
            key.append(value if isinstance(value, AttributeValue) else value and value.value)
        return tuple(key)

    def _run(self, driver: str, device: Device) -> bool | CelError:
        try:
            result = _evaluate(self._program, _variables(driver, device, self.reads.domains))
        except RuntimeError as error:
            if any(sign in str(error) for sign in _NOT_THERE):
                raise CelUnsupported(f"{self.expression[:80]!r}: {error}") from error
            return CelError(f"CEL runtime error: {error}")
        except KeyError as error:
            return CelError(f"CEL runtime error: no such key: {str(error).strip(chr(39))}")
        except (TypeError, ValueError, ArithmeticError, InvalidInput) as error:
            return CelError(f"CEL runtime error: {error}")
        if not isinstance(result, bool):
            return CelError("CEL runtime error: the result is not a bool")
        return result


@lru_cache(maxsize=_MAX_SELECTORS)
def selector(expression: str) -> Selector:
    """The compiled expression. Never raises: what cannot be compiled says so when it is run."""
    return Selector(expression)


class _Environment:
    """One context with all functions; its one variable is looked up at run time, so it is built once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._variables: dict[str, Any] = {}
        self._context = library.Context()
        stdlib.add_stdlib_to_context(self._context)
        for name, function in FUNCTIONS.items():
            self._context.add_function(name, function)
        self._context.set_variable_resolver(self._variable)

    def _variable(self, name: str) -> Any:
        return self._variables.get(name)

    def evaluate(self, program: Any, variables: dict[str, Any]) -> Any:
        with self._lock:
            self._variables = variables
            return program.execute(self._context)


_ENVIRONMENT = _Environment()
_evaluate = _ENVIRONMENT.evaluate


def _variables(driver: str, device: Device, domains: frozenset[str]) -> dict[str, Any]:
    attributes: dict[str, dict[str, Any]] = {}
    capacity: dict[str, dict[str, Any]] = {}
    for name, attribute in device.attributes.items():
        domain, identifier = _qualified(name, driver)
        value = semver(attribute.version) if attribute.version is not None else attribute.value
        attributes.setdefault(domain, {})[identifier] = value
    for name, entry in device.capacity.items():
        domain, identifier = _qualified(name, driver)
        capacity.setdefault(domain, {})[identifier] = quantity(entry.value)
    looked_up: dict[str, dict[str, Any]] = {domain: {} for domain in domains}
    return {
        "device": {
            "driver": driver,
            "allowMultipleAllocations": bool(device.allow_multiple_allocations),
            "attributes": looked_up | attributes,
            "capacity": looked_up | capacity,
            f"attributes{WHOLE}": attributes,
            f"capacity{WHOLE}": capacity,
        }
    }


def _qualified(name: str, driver: str) -> tuple[str, str]:
    domain, slash, identifier = name.rpartition("/")
    return (domain, identifier) if slash else (driver, name)
