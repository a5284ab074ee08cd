"""Rules of the allocator that differ between minor versions of Kubernetes (sources: 1.36.3 and 1.37.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

MAX_RESULTS = 32
"""Devices of one claim."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """One column of the table."""

    counters_by_pool_name: bool
    """Counters of pools with one name are mixed up, whatever their driver (kubernetes#140434)."""

    counters_are_everywhere: bool
    """Slices with counters belong to every node: allocationMode All aborts while any pool that has some is unsound."""

    capacities_wrap: bool
    """A share beyond 64 bits wraps around, or counts as nothing; otherwise it ends the attempt for the pod."""

    distinct_sees_last_of_request: bool
    """distinctAttribute remembers one device of each request only."""

    all_mode_counts_what_is_left: bool
    """allocationMode All leaves out devices whose capacity is used up, instead of failing on them."""

    share_without_capacity_is_free: bool
    """A share that consumed no capacity does not count as one: the next charges the counters again."""

    fractional_ranges: bool
    """Steps of a capacity's range are computed in thousandths.

    A gate of 1.37 that is on where the control plane need not be compatible with 1.36: by default from 1.38 on.
    """

    step_decides_format: bool
    """A rounded capacity is written in the format of its step; otherwise in binary units."""

    rule_without_selector_taints_all: bool
    """A DeviceTaintRule that has no deviceSelector taints every device; otherwise none."""


_RULES: Mapping[int, Rules] = {
    36: Rules(
        counters_by_pool_name=True,
        counters_are_everywhere=True,
        capacities_wrap=True,
        distinct_sees_last_of_request=True,
        all_mode_counts_what_is_left=True,
        share_without_capacity_is_free=True,
        fractional_ranges=False,
        step_decides_format=False,
        rule_without_selector_taints_all=True,
    ),
    37: Rules(
        counters_by_pool_name=False,
        counters_are_everywhere=False,
        capacities_wrap=False,
        distinct_sees_last_of_request=False,
        all_mode_counts_what_is_left=False,
        share_without_capacity_is_free=False,
        fractional_ranges=False,
        step_decides_format=True,
        rule_without_selector_taints_all=False,
    ),
}


RULES: Mapping[int, Rules] = {**_RULES, 38: replace(_RULES[37], fractional_ranges=True)}


def rules_for(server_minor: int) -> Rules:
    """The rules of a version: the newest known that is not newer, or the oldest known."""
    known = [minor for minor in sorted(RULES) if minor <= server_minor]
    return RULES[known[-1] if known else min(RULES)]
