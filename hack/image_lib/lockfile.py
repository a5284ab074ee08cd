"""Reads a pip lock file and keeps what one target needs, so that pip never judges by the Python it runs on."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from hack.image_lib.commands import ImageError

_NAME = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)")
_COMPARE: Mapping[type[ast.cmpop], Callable[[object, object], bool]] = {
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
    ast.Lt: lambda a, b: _version(a) < _version(b),
    ast.LtE: lambda a, b: _version(a) <= _version(b),
    ast.Gt: lambda a, b: _version(a) > _version(b),
    ast.GtE: lambda a, b: _version(a) >= _version(b),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One locked package."""

    name: str
    version: str
    marker: str
    """Where it is wanted; empty: everywhere."""

    hashes: tuple[str, ...]

    @property
    def line(self) -> str:
        """As pip reads it, without the marker."""
        return " ".join([f"{self.name}=={self.version}", *(f"--hash={value}" for value in self.hashes)])


def parse(text: str) -> tuple[Pin, ...]:
    """All pins of a lock file. Raises ImageError for a line that is none, or one without hashes."""
    joined = text.replace("\\\n", " ")
    return tuple(_pin(line) for line in joined.splitlines() if line.strip() and not line.startswith("#"))


def wanted(pins: Iterable[Pin], environment: Mapping[str, str]) -> tuple[Pin, ...]:
    """The pins whose marker holds for the target."""
    return tuple(pin for pin in pins if not pin.marker or holds(pin.marker, environment))


def holds(marker: str, environment: Mapping[str, str]) -> bool:
    """Whether a marker holds. Markers of comparisons joined by and/or read as Python expressions."""
    try:
        return _value(ast.parse(marker.strip(), mode="eval").body, environment)
    except (SyntaxError, KeyError, TypeError) as error:
        raise ImageError(f"the lock file has a marker that cannot be read: {marker!r}; run make lock") from error


def _pin(line: str) -> Pin:
    requirement, *hashes = line.split("--hash=")
    head, _, marker = requirement.partition(";")
    found = _NAME.match(head.strip())
    if not found or not hashes:
        raise ImageError(f"the lock file has a line without version or hash: {line[:80]!r}; run make lock")
    return Pin(name=found[1], version=found[2], marker=marker.strip(), hashes=tuple(h.strip() for h in hashes))


def _value(node: ast.expr, environment: Mapping[str, str]) -> bool:
    if isinstance(node, ast.BoolOp):
        values = [_value(part, environment) for part in node.values]
        return all(values) if isinstance(node.op, ast.And) else any(values)
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        return _COMPARE[type(node.ops[0])](_operand(node.left, environment), _operand(node.comparators[0], environment))
    raise TypeError(type(node).__name__)


def _operand(node: ast.expr, environment: Mapping[str, str]) -> str:
    if isinstance(node, ast.Name):
        return environment[node.id]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise TypeError(type(node).__name__)


def _version(text: object) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", str(text)))
