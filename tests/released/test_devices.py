"""Names and counters of devices over releases: a claim that holds one keeps both for as long as it lives."""

from __future__ import annotations

import pytest
from hack.released.contents import devices
from hack.released.files import releases

RELEASES = releases()
LISTED = [(version, machine) for version, release in RELEASES.items() for machine in release.machines]

WHY = (
    "names and counters of devices never change once released: kube-scheduler subtracts what an allocated device "
    "consumes by what its slice says now, so a partition in use would be given away again or block its GPU for ever "
    "(kubernetes#140802; docs/upgrade.md). Publish a new form under new names, and keep the old for its holders."
)


@pytest.mark.parametrize(("version", "machine"), LISTED)
def test_every_released_device_has_its_name_and_counters_still(version: str, machine: str) -> None:
    released, now = RELEASES[version].devices(machine), devices(machine)
    gone = sorted(released.keys() - now.keys())
    assert not gone, f"{WHY} Gone since {version}: {gone[:5]}"
    changed = {name: (was, now[name]) for name, was in released.items() if now[name] != was}
    assert not changed, f"{WHY} Changed since {version}: {dict(list(changed.items())[:3])}"
