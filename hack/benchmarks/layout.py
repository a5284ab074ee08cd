"""What published devices cost the real kube-scheduler: pods bound in a second, by what each node publishes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from hack.benchmarks.figures import print_rows
from hack.benchmarks.fleet import device_classes, machine_with, node_name, slices
from hack.benchmarks.naive import any_mig_class, naive_slices, naive_wish
from hack.benchmarks.plane import clear_fleet, control_plane, write
from hack.benchmarks.plot import write_bars
from hack.benchmarks.scheduling import CLAIMS, measure, names, nodes, published
from hack.realcluster.modules import DEFAULT_VERSION, VERSIONS

from partita_plugins.model.offer import Offer
from partita_plugins.wire.resource_slice import ResourceSlice

MIG = Offer(mig_shapes=frozenset({"1g", "1g-double", "2g", "3g", "4g"}))
LAYOUTS = ("whole", "partita", "naive")
WISHES = ("gpu", "mig-3g", "mig-1g")

HELP = f"""{__doc__}

etcd, kube-apiserver and kube-scheduler of --version without extender, and nodes of eight H100 that exist in the
API only.

\b
partita   whole GPUs first, then partitions GPU by GPU, with few attributes; one class for each shape
whole     whole GPUs alone
naive     all placements profile by profile beginning with 1g (1g+me and 7g too), whole GPUs last; partitions carry
          their GPU's attributes; one class for partitions, and a selector for the profile in each request
devices   that one node has

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
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Write the rates to this SVG file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def layout(
    *,
    count: int,
    pods: int,
    layouts: tuple[str, ...],
    claims: tuple[str, ...],
    version: str,
    plot: Path | None,
    as_json: bool,
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
                bound = measure(
                    api, next(spaces), pods=pods, wish=naive_wish(wish) if name == "naive" else CLAIMS[wish]
                )
                rows.append(
                    {
                        "bench": "layout",
                        "nodes": count,
                        "layout": name,
                        "devices": _devices(name),
                        "claim": wish,
                        "pods_per_second": bound.pods_per_second,
                    }
                )
                if as_json:
                    print_rows(rows[-1:], as_json=True)  # each as it comes: what follows may take minutes
            clear_fleet(api)
    if not as_json:
        print_rows(rows, as_json=False)
    if plot is not None:
        _draw(plot, rows)


def _slices(name: str, where: str) -> list[ResourceSlice]:
    if name == "naive":
        return naive_slices(where)
    return slices(where, machine_with(8), Offer() if name == "whole" else MIG)


def _devices(name: str) -> int:
    return sum(len(one.spec.devices) for one in _slices(name, ""))


def _draw(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    bars: dict[str, dict[str, float]] = {}
    for row in rows:
        bars.setdefault(row["claim"], {})[row["layout"]] = row["pods_per_second"]
    write_bars(path, bars, title="What kube-scheduler binds, by how devices are published", y="pods per second")
