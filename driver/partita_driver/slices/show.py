"""What a node would publish, as a table for people or as the API's own JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from partita_driver.slices.contents import SliceContent
from partita_driver.slices.pool import PoolInputs, Published, desired_pool
from partita_plugins.model.offer import Offer, SlottedHardware
from partita_plugins.wire.resource_slice import Device


def contents_of(node_name: str, node: SlottedHardware, offer: Offer) -> tuple[SliceContent, ...]:
    """The slices of a node without faults and claims."""
    return desired_pool(PoolInputs(node_name=node_name, node=node, offer=offer), Published(), frozenset())


def as_json(contents: Sequence[SliceContent]) -> str:
    """One object a slice: name, sharedCounters, devices."""
    shown = [
        {"name": content.name, "sharedCounters": content.counters, "devices": content.devices} for content in contents
    ]
    return msgspec.json.format(msgspec.json.encode(shown), indent=2).decode()


def as_table(contents: Sequence[SliceContent]) -> str:
    """One line a device, in the order in which kube-scheduler tries them."""
    rows = [("SLICE", "DEVICE", "TYPE", "MEMORY", "CONSUMES"), *_rows(contents)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]) for row in rows
    ]
    devices = sum(len(content.devices) for content in contents)
    return "\n".join([*lines, f"{devices} devices in {len(contents)} slices"])


def _rows(contents: Sequence[SliceContent]) -> Iterator[tuple[str, ...]]:
    for index, content in enumerate(contents):
        for counters in content.counters:
            yield f"{index:02d}", counters.name, "counters", "", ", ".join(sorted(counters.counters))
        for device in content.devices:
            yield f"{index:02d}", device.name, *_figures(device)


def _figures(device: Device) -> tuple[str, str, str]:
    consumed = [
        f"{name}={value.value}" for entry in device.consumes_counters for name, value in sorted(entry.counters.items())
    ]
    memory = device.capacity["memory"].value if "memory" in device.capacity else ""
    return str(device.attributes["type"].value), memory, " ".join(consumed)
