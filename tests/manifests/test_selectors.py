"""Every class and every example is evaluated on every kind of device of every machine.

A CEL error, such as an attribute that a device lacks, aborts the pod's scheduling and not just that device.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from partita_plugins.backends.catalog import machine, names
from partita_plugins.model.offer import Offer, SlottedHardware, offered_devices
from partita_plugins.wire import DRIVER_NAME
from partita_plugins.wire.offer import encode_device
from partita_plugins.wire.resource_slice import Device
from partita_scheduler.cel.selector import Selector
from tests.manifests.kustomize import EXAMPLES, MANIFESTS, Json, render

SHAPES = ("1g", "1g-double", "2g", "3g", "4g", "7g")
EVERYTHING = Offer(
    whole=True, mig_shapes=frozenset(SHAPES), shared=True, group_sizes=frozenset({2, 4, 8}), monitor=True
)

# Class to what it selects: type, and shape or size.
CLASSES = {
    "gpu.partita.dev": ("gpu", None),
    "shared.gpu.partita.dev": ("shared", None),
    "monitor.gpu.partita.dev": ("monitor", None),
    **{f"mig-{shape}.gpu.partita.dev": ("mig", shape) for shape in SHAPES},
    **{f"group-{size}.gpu.partita.dev": ("group", size) for size in (2, 4, 8)},
}


def expression_of(device_class: Json) -> str:
    [selector] = device_class["spec"]["selectors"]
    return str(selector["cel"]["expression"])


SHIPPED = {obj["metadata"]["name"]: obj for obj in render(MANIFESTS / "base" / "classes")}


@cache
def devices_of(name: str) -> list[Device]:
    """All devices of one machine of the catalog that offers everything it can."""
    hardware = machine(name, seed="node")
    node = SlottedHardware(hardware=hardware, slots=tuple(range(len(hardware.gpus))))
    return [encode_device(device, node) for device in offered_devices(node, EVERYTHING)]


@pytest.fixture(scope="module", params=names())
def devices(request: pytest.FixtureRequest) -> list[Device]:
    return devices_of(request.param)


def what(device: Device) -> tuple[str | None, str | int | None]:
    attributes = device.attributes
    if "shape" in attributes:
        return attributes["type"].string, attributes["shape"].string
    return attributes["type"].string, attributes["size"].int_ if "size" in attributes else None


def test_there_is_one_class_for_each_wish() -> None:
    assert SHIPPED.keys() == CLASSES.keys()
    extended = {name: obj["spec"].get("extendedResourceName") for name, obj in SHIPPED.items()}
    assert {name: value for name, value in extended.items() if value} == {DRIVER_NAME: "nvidia.com/gpu"}


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_selects_its_own_kind_and_fails_on_none(name: str, devices: list[Device]) -> None:
    selector = Selector(expression_of(SHIPPED[name]))
    for device in devices:
        assert selector.matches(DRIVER_NAME, device) == (what(device) == CLASSES[name]), device.name


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_passes_over_devices_of_other_drivers(name: str) -> None:
    selector = Selector(expression_of(SHIPPED[name]))
    assert selector.matches("gpu.other.dev", Device(name="gpu-0")) is False


def test_the_machines_have_every_kind_that_classes_ask_for() -> None:
    assert set(CLASSES.values()) <= {what(device) for name in names() for device in devices_of(name)}


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda path: path.name)
def test_an_example_asks_for_what_some_machine_has(folder: Path) -> None:
    for request in requests_of(folder):
        device_class = request["deviceClassName"]
        assert device_class in SHIPPED
        wanted = [(device_class, s["cel"]["expression"]) for s in request.get("selectors", [])]
        keys = request.get("capacity", {}).get("requests", {}).keys()
        assert any(
            Selector(expression_of(SHIPPED[device_class])).matches(DRIVER_NAME, device)
            and all(Selector(expression).matches(DRIVER_NAME, device) for _, expression in wanted)
            and keys <= device.capacity.keys()
            for name in names()
            for device in devices_of(name)
        )


def test_the_nvlink_example_matches_an_attribute_that_gpus_publish() -> None:
    [claim, _pod] = render(MANIFESTS / "examples" / "two-gpus-nvlink")
    [constraint] = claim["spec"]["spec"]["devices"]["constraints"]
    domain, _, attribute = constraint["matchAttribute"].partition("/")
    assert domain == DRIVER_NAME
    islands = [d.attributes[attribute] for d in devices_of("hgx-h100") if attribute in d.attributes]
    assert len(islands) >= 2
    assert len(set(map(str, islands))) == 1


def requests_of(folder: Path) -> Iterator[Json]:
    """Every device request of an example, alternatives one by one."""
    for obj in render(folder):
        spec = obj["spec"].get("spec", obj["spec"]) if obj["kind"].startswith("ResourceClaim") else {}
        for request in spec.get("devices", {}).get("requests", []):
            yield from [request["exactly"]] if "exactly" in request else request["firstAvailable"]
