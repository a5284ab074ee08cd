"""A claim with its classes looked up and its selectors compiled: a hashable value, equal for equal claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from partita_plugins.errors import InvalidInput
from partita_plugins.model.quantity import parse_quantity
from partita_plugins.wire.objects import Taint, Toleration
from partita_plugins.wire.resource_claim import (
    DeviceClass,
    DeviceConstraint,
    DeviceSelector,
    ExactRequest,
    ResourceClaim,
)
from partita_scheduler.allocator.capacity import is_binary
from partita_scheduler.cel.selector import Selector, selector

BLOCKING_EFFECTS = frozenset({"NoSchedule", "NoExecute"})


class PlanError(InvalidInput):
    """The claim cannot be allocated anywhere as written, or names a class that is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPlan:
    """A request, or one alternative of firstAvailable."""

    name: str
    """As in the results: "main", or "main/sub"."""

    main: str
    alternative: int
    """Place in firstAvailable, best first; 0 for a plain request."""

    class_name: str
    class_selectors: tuple[Selector, ...]
    own_selectors: tuple[Selector, ...]
    all_devices: bool
    count: int
    admin: bool
    tolerations: tuple[Toleration, ...]
    capacities: tuple[tuple[str, Decimal], ...]
    binary: frozenset[str]
    """Capacities asked for in binary units ("1536Mi"), which decides how the share is written."""

    @property
    def selectors(self) -> tuple[Selector, ...]:
        """In the order in which they are run."""
        return self.class_selectors + self.own_selectors

    def tolerates(self, taint: Taint) -> bool:
        """Whether the taint does not keep the device from this request."""
        return taint.effect not in BLOCKING_EFFECTS or any(_tolerates(one, taint) for one in self.tolerations)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstraintPlan:
    requests: frozenset[str]
    """Empty: all."""

    attribute: str
    distinct: bool

    def concerns(self, request: RequestPlan) -> bool:
        return not self.requests or request.main in self.requests or request.name in self.requests


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimPlan:
    """One claim still to be allocated."""

    name: str = field(compare=False)
    """Claims that differ by name alone have the same result."""

    requests: tuple[tuple[RequestPlan, ...], ...]
    """For each request its alternatives in order."""

    constraints: tuple[ConstraintPlan, ...]

    @property
    def asks_for_all(self) -> bool:
        return any(request.all_devices for alternatives in self.requests for request in alternatives)

    @property
    def reads_everything(self) -> bool:
        """Whether its result may depend on what tells equal machines apart."""
        return any(
            one.reads_identity
            for alternatives in self.requests
            for request in alternatives
            for one in request.selectors
        ) or any(constraint.attribute.endswith("/uuid") for constraint in self.constraints)


def plan_claim(claim: ResourceClaim, classes: Mapping[str, DeviceClass]) -> ClaimPlan:
    """The claim as the search needs it. Raises PlanError where kube-scheduler would give up before the first node."""
    devices = claim.spec.devices
    requests: list[tuple[RequestPlan, ...]] = []
    for request in devices.requests or ():
        if request.exactly:
            requests.append((_request(request.name, request.name, 0, request.exactly, classes),))
        elif request.first_available:
            requests.append(
                tuple(
                    _request(f"{request.name}/{one.name}", request.name, place, one, classes)
                    for place, one in enumerate(request.first_available)
                )
            )
        else:
            raise PlanError(f"request {request.name!r} is of an unknown type")
    constraints = tuple(_constraint(constraint) for constraint in devices.constraints)
    return ClaimPlan(name=claim.metadata.name, requests=tuple(requests), constraints=constraints)


def _request(name: str, main: str, place: int, exact: ExactRequest, classes: Mapping[str, DeviceClass]) -> RequestPlan:
    device_class = classes.get(exact.device_class_name)
    if device_class is None:
        raise PlanError(f"there is no DeviceClass {exact.device_class_name!r}")
    if exact.allocation_mode not in {"ExactCount", "All"}:
        raise PlanError(f"request {name!r}: allocation mode {exact.allocation_mode!r} is unknown")
    wanted = exact.capacity.requests if exact.capacity else {}
    return RequestPlan(
        name=name,
        main=main,
        alternative=place,
        class_name=exact.device_class_name,
        class_selectors=_selectors(device_class.spec.selectors, name),
        own_selectors=_selectors(exact.selectors, name),
        all_devices=exact.allocation_mode == "All",
        count=exact.count,
        admin=bool(exact.admin_access),
        tolerations=tuple(exact.tolerations),
        capacities=tuple(sorted((key, parse_quantity(value)) for key, value in wanted.items())),
        binary=frozenset(key for key, value in wanted.items() if is_binary(value)),
    )


def _selectors(selectors: list[DeviceSelector], request: str) -> tuple[Selector, ...]:
    if any(one.cel is None for one in selectors):
        raise PlanError(f"request {request!r} has a selector of an unknown type")
    return tuple(selector(one.cel.expression) for one in selectors if one.cel)


def _constraint(constraint: DeviceConstraint) -> ConstraintPlan:
    attribute = constraint.match_attribute or constraint.distinct_attribute
    if not attribute:
        raise PlanError("a constraint is of an unknown type")
    return ConstraintPlan(
        requests=frozenset(constraint.requests), attribute=attribute, distinct=not constraint.match_attribute
    )


def _tolerates(toleration: Toleration, taint: Taint) -> bool:
    return (
        toleration.effect in {"", taint.effect}
        and toleration.key in {"", taint.key}
        and (
            toleration.operator == "Exists"
            or (toleration.operator in {"", "Equal"} and toleration.value == taint.value)
        )
    )
