"""matchAttribute and distinctAttribute while a search runs: devices come and go in the order of a stack."""

from __future__ import annotations

from typing import Protocol

from partita_plugins.wire.resource_slice import AttributeValue, Device
from partita_scheduler.allocator.plan import ConstraintPlan, RequestPlan
from partita_scheduler.allocator.rules import Rules


class Constraint(Protocol):
    """A constraint that holds for the devices added so far."""

    def add(self, request: RequestPlan, driver: str, device: Device) -> bool:
        """Take the device in if the constraint still holds with it."""

    def remove(self, request: RequestPlan) -> None:
        """Take back the last device added."""


def attribute_of(device: Device, driver: str, name: str) -> AttributeValue | None:
    """An attribute by its full name; the driver's own may be published without the domain."""
    found = device.attributes.get(name)
    if found is None:
        domain, slash, identifier = name.partition("/")
        found = device.attributes.get(identifier) if slash and domain == driver else None
    return found


class MatchAttribute:
    """All devices have the attribute with one value of one type."""

    def __init__(self, plan: ConstraintPlan) -> None:
        self._plan, self._value, self._devices = plan, AttributeValue(), 0

    def add(self, request: RequestPlan, driver: str, device: Device) -> bool:
        if not self._plan.concerns(request):
            return True
        value = attribute_of(device, driver, self._plan.attribute)
        if value is None or (self._devices and value != self._value):
            return False
        if not self._devices:
            self._value = value
        self._devices += 1
        return True

    def remove(self, request: RequestPlan) -> None:
        self._devices -= self._plan.concerns(request)


class DistinctAttribute:
    """All devices have the attribute, each with another value."""

    def __init__(self, plan: ConstraintPlan) -> None:
        self._plan = plan
        self._values: list[AttributeValue] = []

    def add(self, request: RequestPlan, driver: str, device: Device) -> bool:
        if not self._plan.concerns(request):
            return True
        value = attribute_of(device, driver, self._plan.attribute)
        if value is None or value in self._values:
            return False
        self._values.append(value)
        return True

    def remove(self, request: RequestPlan) -> None:
        if self._plan.concerns(request):
            self._values.pop()


class DistinctAttributeOfRequests:
    """The same as Kubernetes 1.36 has it: of each request the last device alone is remembered."""

    def __init__(self, plan: ConstraintPlan) -> None:
        self._plan, self._devices = plan, 0
        self._values: dict[str, AttributeValue] = {}

    def add(self, request: RequestPlan, driver: str, device: Device) -> bool:
        if not self._plan.concerns(request):
            return True
        value = attribute_of(device, driver, self._plan.attribute)
        if value is None or (self._devices and value in self._values.values()):
            return False
        self._values[request.main] = value
        self._devices += 1
        return True

    def remove(self, request: RequestPlan) -> None:
        if self._plan.concerns(request):
            self._values.pop(request.main, None)
            self._devices -= 1


def constraint(plan: ConstraintPlan, rules: Rules) -> Constraint:
    """A constraint without devices."""
    if not plan.distinct:
        return MatchAttribute(plan)
    return DistinctAttributeOfRequests(plan) if rules.distinct_sees_last_of_request else DistinctAttribute(plan)
