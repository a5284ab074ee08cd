"""Formats of names, versions and quantities, and the list in which problems of an object are gathered."""

from __future__ import annotations

import re
from collections.abc import Sized
from decimal import Decimal, InvalidOperation
from typing import Any

from partita_plugins.testing.apiserver.errors import Cause

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS_LABEL = re.compile(rf"^{_LABEL}$")
_DNS_SUBDOMAIN = re.compile(rf"^{_LABEL}(\.{_LABEL})*$")
_C_IDENTIFIER = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
_LABEL_VALUE = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")
_SEMVER = re.compile(
    r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(-((0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*))?"
    r"(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$"
)
_QUANTITY = re.compile(r"^(?P<number>[+-]?(\d+\.?\d*|\.\d+))(?P<unit>[KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?$")
_BINARY = {f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)}
_DECIMAL = {
    letter: Decimal(10) ** power for letter, power in zip("numkMGTPE", (-9, -6, -3, 3, 6, 9, 12, 15, 18), strict=True)
}


def is_dns_label(text: Any) -> bool:
    return isinstance(text, str) and len(text) <= 63 and bool(_DNS_LABEL.match(text))


def is_dns_subdomain(text: Any, length: int = 253) -> bool:
    return isinstance(text, str) and len(text) <= length and bool(_DNS_SUBDOMAIN.match(text))


def is_pool_name(text: Any) -> bool:
    """One or more DNS subdomains separated by slashes."""
    return isinstance(text, str) and len(text) <= 253 and all(is_dns_subdomain(part) for part in text.split("/"))


def is_qualified_name(text: Any) -> bool:
    """`[domain/]identifier`, as attributes and capacities are named."""
    if not isinstance(text, str):
        return False
    domain, slash, identifier = text.rpartition("/")
    if slash and not is_dns_subdomain(domain, 63):
        return False
    return len(identifier) <= 32 and bool(_C_IDENTIFIER.match(identifier))


def is_label_key(text: Any) -> bool:
    if not isinstance(text, str):
        return False
    domain, slash, name = text.rpartition("/")
    return bool(name) and len(name) <= 63 and bool(_LABEL_VALUE.match(name)) and (not slash or is_dns_subdomain(domain))


def is_label_value(text: Any) -> bool:
    return isinstance(text, str) and len(text) <= 63 and bool(_LABEL_VALUE.match(text))


def is_version(text: Any) -> bool:
    return isinstance(text, str) and len(text) <= 64 and bool(_SEMVER.match(text))


def quantity(text: Any) -> Decimal | None:
    """The number that `10Gi`, `500m` or `3` stands for; None where it stands for none."""
    found = _QUANTITY.match(text) if isinstance(text, str) else _QUANTITY.match(str(text))
    if found is None or isinstance(text, bool):
        return None
    unit = found["unit"] or ""
    try:
        if unit[:1] in ("e", "E") and len(unit) > 1:
            return Decimal(found["number"] + unit)
        return Decimal(found["number"]) * (_BINARY.get(unit) or _DECIMAL.get(unit) or Decimal(1))
    except InvalidOperation:
        return None


class Problems(list[Cause]):
    """What is wrong with one object. Bounded: a thousand bad devices need no thousand lines."""

    MAX = 20

    def add(self, field: str, message: str, reason: str = "FieldValueInvalid") -> None:
        if len(self) < self.MAX:
            self.append(Cause(field=field, message=message, reason=reason))

    def require(self, ok: object, field: str, message: str) -> None:
        if not ok:
            self.add(field, f"Invalid value: {message}")

    def require_value(self, value: object, field: str) -> None:
        if value in (None, "", [], {}):
            self.add(field, "Required value", "FieldValueRequired")

    def at_most(self, items: Sized | None, limit: int, field: str) -> None:
        if items is not None and len(items) > limit:
            self.add(field, f"Too many: {len(items)}: must have at most {limit} items", "FieldValueTooMany")

    def unchanged(self, before: object, now: object, field: str) -> None:
        if before != now:
            self.add(field, "Invalid value: field is immutable")

    def unique(self, names: list[Any], field: str) -> None:
        seen: set[Any] = set()
        for index, name in enumerate(names):
            if name in seen:
                self.add(f"{field}[{index}]", f'Duplicate value: "{name}"', "FieldValueDuplicate")
            seen.add(name)
