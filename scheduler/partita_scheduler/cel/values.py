"""Kubernetes' Quantity and Semver in CEL, as maps with one key that no attribute can have, and their functions."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from partita_plugins.errors import InvalidInput
from partita_plugins.model.quantity import parse_quantity

QUANTITY, SEMVER = "quantity!", "semver!"
_SEMVER = re.compile(
    r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?$"
)
Tagged = dict[str, str]


def quantity(text: str) -> Tagged:
    """A quantity value; equal quantities are equal maps."""
    return _quantity(parse_quantity(text))


def semver(text: str, normalize: bool = False) -> Tagged:
    """A version value without build metadata, which takes no part in comparisons. Raises InvalidInput."""
    if normalize:
        core, mark, rest = text.lstrip("v").partition("-")
        text = ".".join([*(str(int(part)) for part in core.split(".") if part.isdigit()), "0", "0"][:3]) + mark + rest
    if not _SEMVER.match(text):
        raise InvalidInput(f"{text[:64]!r} is not a semantic version")
    return {SEMVER: text.partition("+")[0]}


def _quantity(value: Decimal) -> Tagged:
    return {QUANTITY: format(value.normalize(), "f")}


def _number(value: Any) -> Decimal:
    if not isinstance(value, dict) or QUANTITY not in value:
        raise InvalidInput("no such overload: not a quantity")
    return Decimal(value[QUANTITY])


def _operand(value: Any) -> Decimal:
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else _number(value)


def _version_key(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, dict) or SEMVER not in value:
        raise InvalidInput("no such overload: not a version")
    core, _, pre = value[SEMVER].partition("-")
    # A release comes after its pre-releases; numeric identifiers come before words.
    parts = tuple((0, int(p), "") if p.isdigit() else (1, 0, p) for p in pre.split(".")) if pre else ()
    return (*map(int, core.split(".")), not pre, parts)


def compare(a: Any, b: Any) -> int:
    """-1, 0 or 1 for two quantities or two versions."""
    if isinstance(a, dict) and SEMVER in a:
        one, other = _version_key(a), _version_key(b)
        return (one > other) - (one < other)
    left, right = _number(a), _number(b)
    return (left > right) - (left < right)


def _is(make: Callable[[str], Tagged]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            make(text)
        except InvalidInput:
            return False
        return True

    return check


def _as_integer(value: Any) -> int:
    number = _number(value)
    if number != number.to_integral_value() or abs(number) >= 2**63:
        raise InvalidInput("the quantity is not an integer of 64 bits")
    return int(number)


def _is_integer(value: Any) -> bool:
    number = _number(value)
    return number == number.to_integral_value() and abs(number) < 2**63


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "quantity": quantity,
    "isQuantity": _is(quantity),
    "semver": semver,
    "isSemver": _is(semver),
    "compareTo": compare,
    "isGreaterThan": lambda a, b: compare(a, b) > 0,
    "isLessThan": lambda a, b: compare(a, b) < 0,
    "asInteger": _as_integer,
    "isInteger": _is_integer,
    "asApproximateFloat": lambda a: float(_number(a)),
    "sign": lambda a: compare(a, quantity("0")),
    "add": lambda a, b: _quantity(_number(a) + _operand(b)),
    "sub": lambda a, b: _quantity(_number(a) - _operand(b)),
    "major": lambda a: _version_key(a)[0],
    "minor": lambda a: _version_key(a)[1],
    "patch": lambda a: _version_key(a)[2],
}
