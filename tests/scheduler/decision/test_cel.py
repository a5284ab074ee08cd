"""Expressions that users write in classes and requests."""

from __future__ import annotations

import msgspec
import pytest

from partita_plugins.wire import DRIVER_NAME
from partita_plugins.wire.resource_slice import Device
from partita_scheduler.cel.selector import CelError, CelUnsupported, selector
from partita_scheduler.cel.syntax import reads

A, C = f'device.attributes["{DRIVER_NAME}"]', f'device.capacity["{DRIVER_NAME}"]'
DEVICE = msgspec.convert(
    {
        "name": "gpu-0",
        "attributes": {
            "type": {"string": "gpu"},
            "product": {"string": "NVIDIA H100 80GB HBM3"},
            "multiprocessors": {"int": 132},
            "computeCapability": {"version": "9.0.0"},
            "driverVersion": {"version": "580.82.7"},
            "ecc": {"bool": True},
            "resource.kubernetes.io/pcieRoot": {"string": "pci0000:07"},
        },
        "capacity": {"memory": {"value": "80Gi"}},
    },
    Device,
)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (f'{A}.type == "gpu"', True),
        (f"{A}['type'] == 'gpu'", True),
        (f'device.driver == "{DRIVER_NAME}"', True),
        ('device.driver == "gpu.nvidia.com"', False),
        (f'{A}.type == "mig" && {A}.shape == "3g"', False),
        (f'{A}.type in ["gpu", "mig"]', True),
        (f"{A}.multiprocessors >= 100 && {A}.multiprocessors < 200", True),
        (f"{A}.ecc", True),
        (f"!{A}.ecc || {A}.multiprocessors == 132", True),
        (f'{A}.product.startsWith("NVIDIA H100")', True),
        (f'{A}.product.matches("H[12]00")', True),
        (f'{A}.product.lowerAscii().contains("h100")', True),
        (f'{A}.product.split(" ")[1] == "H100"', True),
        (f'{A}.computeCapability.isGreaterThan(semver("8.9.9"))', True),
        (f'{A}.computeCapability.compareTo(semver("9.0.0")) == 0', True),
        (f'{A}.driverVersion.isLessThan(semver("581.0.0"))', True),
        (f"{A}.computeCapability.major() == 9 && {A}.computeCapability.minor() == 0", True),
        (f'semver("1.0.0-rc.1").isLessThan(semver("1.0.0")) && {A}.ecc', True),
        (f'{C}.memory.compareTo(quantity("40Gi")) >= 0', True),
        (f'{C}.memory.isGreaterThan(quantity("80Gi"))', False),
        (f'{C}.memory.isLessThan(quantity("100G"))', True),
        (f'{C}.memory == quantity("81920Mi")', True),
        (f"{C}.memory.asInteger() == 85899345920", True),
        (f'{C}.memory.sub(quantity("1Gi")).compareTo(quantity("79Gi")) == 0', True),
        (f'has({A}.shape) && {A}.shape == "3g"', False),
        (f'"type" in {A}', True),
        ('has(device.attributes["other.example.com"].model)', False),
        ('device.attributes["resource.kubernetes.io"].pcieRoot == "pci0000:07"', True),
        ("device.allowMultipleAllocations == false", True),
        (f'cel.bind(d, {A}, d.type == "gpu" && d.multiprocessors > 2)', True),
        (f"cel.bind(d, {A}, cel.bind(n, d.multiprocessors, n > 100))", True),
        (f'{A}.?shape.orValue("whole") == "whole"', True),
        (f'{A}.?type.orValue("") == "gpu" && {A}.?shape.hasValue() == false', True),
        (f'{A}.exists(key, key == "type")', True),
        ('["a", "b"].all(x, x != "c")', True),
        (f'"{DRIVER_NAME}" in device.attributes && {A}.type == "gpu"', True),
        ('"other.example.com" in device.attributes && device.attributes["other.example.com"].model == "x"', False),
        ('!("other.example.com" in device.capacity) || device.capacity["other.example.com"].memory.isInteger()', True),
        ('size(device.attributes) == 2 && size(device.attributes["other.example.com"]) == 0', True),
        (
            'device.attributes.exists(d, d == "other.example.com") || "x" in device.attributes["other.example.com"]',
            False,
        ),
        ("true", True),
    ],
)
def test_an_expression_selects(expression: str, expected: bool) -> None:
    assert selector(expression).matches(DRIVER_NAME, DEVICE) is expected


@pytest.mark.parametrize(
    ("expression", "finding"),
    [
        (f'{A}.shape == "3g"', "no such key: shape"),
        ('device.attributes["other.example.com"].model == "x"', "no such key: model"),
        (f"{A}.type > 5", "No such overload"),
        (f"{C}.memory.compareTo(5) > 0", "not a quantity"),
        (f'semver("1.2") == semver("1.2.0") && {A}.ecc', "not a semantic version"),
        (f"{A}.type", "not a bool"),
    ],
)
def test_an_expression_fails_as_in_kube_scheduler(expression: str, finding: str) -> None:
    with pytest.raises(CelError, match=finding):
        selector(expression).matches(DRIVER_NAME, DEVICE)


@pytest.mark.parametrize(
    "expression",
    [f'{A}.type.find("g.u") == "gpu"', "[1, 2].indexOf(2) == 1", 'ip("10.0.0.1").family() == 4', "1 +", "x" * 11_000],
)
def test_what_we_cannot_run_is_no_opinion(expression: str) -> None:
    with pytest.raises(CelUnsupported):
        selector(expression).matches(DRIVER_NAME, DEVICE)


def test_equal_content_runs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    one = selector(f'{A}.type == "gpu" && true')
    runs: list[str] = []
    real = one._run

    def counted(driver: str, device: Device) -> object:
        runs.append(device.name)
        return real(driver, device)

    monkeypatch.setattr(one, "_run", counted)
    for serial in range(5):
        uuid = {**DEVICE.attributes, "uuid": msgspec.convert({"string": str(serial)}, type(DEVICE.attributes["type"]))}
        assert one.matches(DRIVER_NAME, msgspec.structs.replace(DEVICE, attributes=uuid))
    assert len(runs) == 1


def test_what_an_expression_reads() -> None:
    found = reads(f'{A}.type == "a" && {C}.memory.asInteger() > 1 && "x" in {A} // {A}.comment')
    assert sorted(found.fields or ()) == [
        ("attributes", DRIVER_NAME, "type"),
        ("attributes", DRIVER_NAME, "x"),
        ("capacity", DRIVER_NAME, "memory"),
    ]
    assert reads(f"{A}.exists(key, true)").fields is None
    assert reads('device.attributes[device.driver].type == "gpu"').fields is None
