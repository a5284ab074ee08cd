"""What published devices cost the real kube-scheduler: pods bound in a second, by what each node publishes."""

from __future__ import annotations

from dataclasses import replace

import click
import msgspec
from hack.benchmarks.figures import print_rows
from hack.benchmarks.fleet import Json, claim, device_classes, machine_with, node_name, slices
from hack.benchmarks.plane import clear_fleet, control_plane, write
from hack.benchmarks.scheduling import CLAIMS, measure, names, nodes, published
from hack.realcluster.modules import DEFAULT_VERSION, VERSIONS

from partita_plugins.model.offer import Offer
from partita_plugins.wire import DRIVER_NAME
from partita_plugins.wire.resource import Device, ResourceSlice

MIG = Offer(mig_shapes=frozenset({"1g", "1g-double", "2g", "3g", "4g"}))
NAIVE = replace(MIG, mig_shapes=MIG.mig_shapes | {"7g"})
LAYOUTS = ("whole", "partita", "naive")
WISHES = ("gpu", "mig-3g", "mig-1g")
PROFILES = ("1g", "1g-double", "2g", "3g", "4g", "7g")
WORDY = ("architecture", "computeCapability", "driverVersion", "cudaVersion", "uuid", "slot")
"""What a partition carries of its GPU in the naive layout, beside its own four."""

HELP = f"""{__doc__}

etcd, kube-apiserver and kube-scheduler of --version without extender, and nodes of eight H100 that exist in the
API only.

\b
partita   whole GPUs first, then partitions GPU by GPU, with few attributes; one class for each shape
whole     whole GPUs alone
naive     all placements profile by profile beginning with 1g, whole GPUs last; partitions carry their GPU's attributes;
          one class for partitions, and a selector for the profile in each request

\b
Example:
  hack/bench layout --nodes 500 --json
"""


@click.command(help=HELP)
@click.option("--nodes", "count", default=500, show_default=True, type=click.IntRange(1, 5000))
@click.option("--pods", default=100, show_default=True, type=click.IntRange(2, 4000))
@click.option("--layout", "layouts", multiple=True, default=LAYOUTS, type=click.Choice(LAYOUTS))
@click.option("--claim", "claims", multiple=True, default=WISHES, type=click.Choice(WISHES))
@click.option("--version", default=DEFAULT_VERSION, show_default=True, type=click.Choice(VERSIONS))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def layout(
    *, count: int, pods: int, layouts: tuple[str, ...], claims: tuple[str, ...], version: str, as_json: bool
) -> None:
    """Measure and print."""
    rows: list[dict[str, object]] = []
    spaces = names("layout")
    with control_plane(version) as api:
        write(api, [*device_classes(), any_mig_class()])
        for name in layouts:
            write(api, nodes(count))
            write(api, (published(one) for number in range(count) for one in _slices(name, node_name(number))))
            for wish in claims if name != "whole" else [one for one in claims if one == "gpu"]:
                bound = measure(api, next(spaces), pods=pods, wish=_wish(name, wish))
                rows.append(
                    {
                        "bench": "layout",
                        "nodes": count,
                        "layout": name,
                        "claim": wish,
                        "pods_per_second": bound.pods_per_second,
                    }
                )
                if as_json:
                    print_rows(rows[-1:], as_json=True)  # each as it comes: what follows may take minutes
            clear_fleet(api)
    if not as_json:
        print_rows(rows, as_json=False)


def _slices(name: str, where: str) -> list[ResourceSlice]:
    if name == "naive":
        return naive(slices(where, machine_with(8), NAIVE))
    return slices(where, machine_with(8), Offer() if name == "whole" else MIG)


def naive(found: list[ResourceSlice]) -> list[ResourceSlice]:
    """The same devices as somebody would publish them who does not know what it costs."""
    devices = [device for one in found for device in one.spec.devices]
    whole = {device.attributes["slot"].int_: device for device in devices if _type(device) == "gpu"}
    ordered = sorted(devices, key=_profile_by_profile)
    wordy = iter([_wordy(device, whole) for device in ordered])
    return [
        msgspec.structs.replace(
            one, spec=msgspec.structs.replace(one.spec, devices=[next(wordy) for _ in one.spec.devices])
        )
        for one in found
    ]


def _type(device: Device) -> str | None:
    return device.attributes["type"].string


def _profile_by_profile(device: Device) -> int:
    shape = device.attributes.get("shape")
    return PROFILES.index(shape.string or "") if shape else len(PROFILES)


def _wordy(device: Device, whole: dict[int | None, Device]) -> Device:
    if _type(device) != "mig":
        return device
    gpu = next(one for one in whole.values() if device.name.startswith(one.name))
    more = {name: gpu.attributes[name] for name in WORDY}
    return msgspec.structs.replace(device, attributes={**device.attributes, **more})


def _wish(name: str, wish: str) -> Json | None:
    if name != "naive" or wish == "gpu":
        return CLAIMS[wish]
    expression = f"device.attributes['{DRIVER_NAME}'].shape == '{wish.removeprefix('mig-')}'"
    return claim("", 1, f"any-mig.{DRIVER_NAME}", selectors=[{"cel": {"expression": expression}}])


def any_mig_class() -> Json:
    """The naive layout's one class for partitions."""
    expression = f"device.driver == '{DRIVER_NAME}' && device.attributes['{DRIVER_NAME}'].type == 'mig'"
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "DeviceClass",
        "metadata": {"name": f"any-mig.{DRIVER_NAME}"},
        "spec": {"selectors": [{"cel": {"expression": expression}}]},
    }
