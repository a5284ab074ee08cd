"""Consumable capacity: what a claim consumes of a device under the device's request policies, and whether it fits."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal

from partita_plugins.model.quantity import parsed
from partita_plugins.wire.resource_slice import Capacity, ValidRange
from partita_scheduler.allocator.rules import Rules

MAX_INT64 = 2**63 - 1
BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
DECIMAL = ("n", "u", "m", "", "k", "M", "G", "T", "P", "E")


class BadCapacity(Exception):
    """A capacity that cannot be computed: not representable, or negative."""


def consumed(
    capacities: Mapping[str, Capacity], wanted: Mapping[str, Decimal], rules: Rules
) -> dict[str, Decimal] | None:
    """What a claim consumes of each capacity; None if the device does not suit. Raises BadCapacity."""
    if any(name not in capacities for name in wanted):
        return None
    found = {name: _rounded(capacity, wanted.get(name), rules) for name, capacity in capacities.items()}
    for name, value in found.items():
        if value < 0 and not rules.capacities_wrap:
            raise BadCapacity(f"capacity {name!r}: the value is negative")
    if any(_violates(found[name], capacity, rules) for name, capacity in capacities.items()):
        return None
    return found


def fits(capacities: Mapping[str, Capacity], taken: Mapping[str, Decimal], more: Mapping[str, Decimal]) -> bool:
    """Whether a device with `taken` consumed has room for `more`."""
    return all(taken.get(name, 0) + value <= parsed(capacities[name].value) for name, value in more.items())


def _rounded(capacity: Capacity, wanted: Decimal | None, rules: Rules) -> Decimal:
    policy = capacity.request_policy
    if wanted is None:
        return parsed(policy.default if policy and policy.default else capacity.value)
    if policy is None:
        return wanted
    if policy.valid_range:
        return _round_to_range(wanted, policy.valid_range, rules)
    return next((value for value in map(parsed, policy.valid_values) if wanted <= value), wanted)


def _round_to_range(wanted: Decimal, valid: ValidRange, rules: Rules) -> Decimal:
    low = parsed(valid.min)
    if wanted < low:
        return low
    if valid.step is None:
        return wanted
    unit = _unit(valid, rules)
    asked, least, step = _whole(wanted, unit), _whole(low, unit), max(1, _whole(parsed(valid.step), unit))
    if rules.capacities_wrap:
        return Decimal(_wrapping(asked, least, step))
    if asked > MAX_INT64 or (unit != 1 and asked * unit != wanted):
        raise BadCapacity(f"{wanted} cannot be rounded to steps of {valid.step}")
    rounded = least - (least - asked) // step * step
    if rounded > MAX_INT64:
        raise BadCapacity(f"{wanted} rounded up to steps of {valid.step} is too large")
    return rounded * unit


def _wrapping(asked: int, least: int, step: int) -> int:
    """The same in Go's int64 without checks: what is too large counts as nothing, and sums wrap around."""
    more = (asked if asked <= MAX_INT64 else 0) - least
    steps = -(-more // step) + (more < 0 and more % step != 0)
    return (least + steps * step + MAX_INT64 + 1) % 2**64 - MAX_INT64 - 1


def _violates(value: Decimal, capacity: Capacity, rules: Rules) -> bool:
    policy = capacity.request_policy
    if policy is None or (policy.default and value == parsed(policy.default)):
        return False
    if policy.valid_range:
        valid = policy.valid_range
        if valid.max and value > parsed(valid.max):
            return True
        if not valid.step:
            return False
        unit = _unit(valid, rules)
        step = max(1, _whole(parsed(valid.step), unit))
        return bool((_whole(value, unit) - _whole(parsed(valid.min), unit)) % step)
    return bool(policy.valid_values) and value not in map(parsed, policy.valid_values)


def _unit(valid: ValidRange, rules: Rules) -> Decimal:
    """1, or one thousandth where the version computes in thousandths and all limits are representable."""
    milli = Decimal("0.001")
    limits = [parsed(limit) / milli for limit in (valid.min, valid.max, valid.step) if limit]
    exact = all(limit == limit.to_integral_value() and limit <= MAX_INT64 for limit in limits)
    return milli if rules.fractional_ranges and exact and limits[-1] >= 1 else Decimal(1)


def _whole(value: Decimal, unit: Decimal) -> int:
    return int((value / unit).to_integral_value(ROUND_CEILING))


def is_binary(text: str) -> bool:
    """Whether a quantity is written in binary units."""
    return text.endswith("i")


def canonical(value: Decimal, *, binary: bool) -> str:
    """The quantity as the API server writes it: "10Gi", "1500m", "2".

    Without a binary unit it is a decimal quantity to whoever reads it, so it is written as one in the end.
    """
    if binary and value and value % 1024 == 0:
        return _in_units(value, BINARY, 1024)
    return _in_units(value * 10**9, DECIMAL, 1000)


def _in_units(value: Decimal, units: tuple[str, ...], base: int) -> str:
    """In the largest unit that leaves it whole; a rest below the smallest is rounded up."""
    number = int(value.to_integral_value(ROUND_CEILING))
    power = 0
    while number and number % base == 0 and power < len(units) - 1:
        number, power = number // base, power + 1
    return f"{number}{units[power]}" if number else "0"
