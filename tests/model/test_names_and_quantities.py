"""Text that is read back: device names and Kubernetes quantities."""

from __future__ import annotations

from decimal import Context, Decimal, localcontext
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.utils import parse_quantity as reference_quantity

from partita_plugins.errors import InvalidInput
from partita_plugins.model.offer import DeviceKind, SlottedHardware, offered_devices, shape_of
from partita_plugins.model.quantity import MIB, format_mib, parse_quantity, to_mib
from partita_plugins.wire import DRIVER_NAME, pool_name
from partita_plugins.wire.device_names import DeviceName, format_name, parse_name
from tests.model.conftest import EVERYTHING

SUFFIXES = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "e3", "E2", "e-1"]


def test_a_device_name_says_what_the_device_is(node: SlottedHardware) -> None:
    for device in offered_devices(node, EVERYTHING):
        single = len(device.slots) == 1
        assert parse_name(format_name(device, node.gpus)) == DeviceName(
            kind=device.kind,
            pci_label=node.gpus[device.slots[0]].pci_label if single else "",
            slots=() if single else device.slots,
            shape=shape_of(device.profile) if device.profile else "",
            profile_id=device.profile.profile_id if device.profile else None,
            start=device.placement.start if device.placement else None,
        )


@given(st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,60}[a-z0-9])?", fullmatch=True))
def test_a_pool_is_never_called_like_another_driver_s_pool_of_the_node(node_name: str) -> None:
    """Others call theirs like the node, and counters of pools of one name are counted together."""
    assert pool_name(node_name) != node_name
    assert pool_name(node_name).startswith(f"{DRIVER_NAME}/")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "gpu-0",
        "gpu-0000-07-00-0\n",
        "gpu-0000-07-00-8",
        "gpu-0000-07-00-0-mig-3g-9",
        "gpu-0000-07-00-0-mig-3g-9-4-shared",
        "gpu-0000-07-00-0-mig-3g-９-4",
        "group-2-0",
        "group-2-0-1-2",
        "group-2-1-1",
        "monitor-0",
        "gpu-0000-07-00-0-monitor",
        "gpu-" + "0" * 10_000,
    ],
)
def test_what_was_never_published_is_no_name(name: str) -> None:
    with pytest.raises(InvalidInput, match="is not a device of Partita"):
        parse_name(name)


@given(st.text(max_size=40))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    try:
        parsed = parse_name(text)
    except InvalidInput:
        return
    assert parsed.kind in DeviceKind


@given(st.decimals(-(10**9), 10**9, places=3), st.sampled_from(SUFFIXES))
def test_quantities_mean_what_the_kubernetes_client_says(number: Decimal, suffix: str) -> None:
    text = f"{number:f}{suffix}"
    with localcontext(Context(prec=200)):  # the client rounds to the context's 28 digits
        expected = reference_quantity(text)  # type: ignore[no-untyped-call]
    assert parse_quantity(text) == expected


@pytest.mark.parametrize(
    "text", ["", "10 Gi", "Gi", "1gi", "1Kii", "0x10", "nan", "inf", "--1", "1e", "1e100", "10Gi\n", "１０Gi", "9" * 65]
)
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_quantity(text)


@given(st.integers(0, 10**40), st.integers(0, 10**20))
def test_quantities_are_exact_and_memory_is_rounded_up(whole: int, part: int) -> None:
    text = f"{whole}.{part:020}"
    exact = Fraction(whole) + Fraction(part, 10 ** len(f"{part:020}"))
    assert Fraction(parse_quantity(text)) == exact
    assert Fraction(parse_quantity(f"{whole}Ei")) == whole * 2**60
    assert to_mib(text) == ceil(exact / MIB)


@given(st.integers(0, 10**12))
def test_mib_come_back(mib: int) -> None:
    assert to_mib(format_mib(mib)) == mib
    assert format_mib(1024) == "1Gi"
