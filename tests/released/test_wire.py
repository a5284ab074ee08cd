"""Driver and extender of two releases beside each other: during an upgrade each reads what the other writes."""

from __future__ import annotations

from typing import Any

import jsonschema
import msgspec
import pytest
from hack.released.contents import SLICED, configs, slices
from hack.released.files import Release, predict, releases

from partita_plugins.wire.opaque import decode_config

RELEASES = releases()
SLICED_BY = [(version, machine) for version, release in RELEASES.items() for machine in release.sliced]


def published_now(machine: str) -> Any:
    return msgspec.to_builtins(slices(machine))


def devices_in(published: list[Any]) -> dict[str, Any]:
    return {device["name"]: device for entry in published for device in entry["spec"].get("devices", [])}


def of_a_later_driver(published: list[Any]) -> Any:
    """The same slices with attributes, capacities and fields that nobody knows yet."""
    later = msgspec.json.decode(msgspec.json.encode(published))
    for entry in later:
        entry["status"] = {"phase": "Later"}
        entry["spec"]["laterField"] = {"a": [1]}
        for device in entry["spec"].get("devices", []):
            device["laterField"] = True
            device["attributes"]["later"] = {"string": "x"}
            device["attributes"]["laterList"] = {"strings": ["x"]}
    return later


@pytest.mark.parametrize(("version", "machine"), SLICED_BY)
def test_slices_of_an_older_driver_lead_to_the_same_devices(version: str, machine: str) -> None:
    release = RELEASES[version]
    assert predict(release.slices(machine)) == release.json("predictions")[machine]


@pytest.mark.parametrize("machine", SLICED)
def test_slices_of_a_later_driver_lead_to_the_same_devices(machine: str) -> None:
    published = published_now(machine)
    expected = predict(published)
    assert any(expected.values())
    assert predict(of_a_later_driver(published)) == expected


@pytest.mark.parametrize(("version", "machine"), SLICED_BY)
def test_an_older_extender_finds_all_that_it_looks_at(version: str, machine: str) -> None:
    """Names, attributes, capacities and counters of its time are there, with the same values; more does no harm."""
    was, now = devices_in(RELEASES[version].slices(machine)), devices_in(published_now(machine))
    assert was.keys() <= now.keys()
    for name, device in was.items():
        for field in ("attributes", "capacity"):
            kept = {key: now[name][field].get(key) for key in device.get(field, {})}
            assert kept == device.get(field, {}), f"{name} of {version}"


@pytest.mark.parametrize("release", RELEASES.values(), ids=RELEASES)
def test_an_older_extender_can_decode_what_is_published_now(release: Release) -> None:
    reader = jsonschema.Draft202012Validator(release.json("slices-reader"))
    for machine in SLICED:
        for entry in published_now(machine):
            assert not [error.message[:200] for error in reader.iter_errors(entry)]


@pytest.mark.parametrize("release", RELEASES.values(), ids=RELEASES)
def test_claims_written_for_an_older_release_are_taken(release: Release) -> None:
    for written in release.json("configs"):
        config = decode_config(msgspec.json.encode(written))
        assert config.time_slice == written["timeSlice"]
    assert len(configs()) >= len(release.json("configs"))
