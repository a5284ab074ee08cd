"""Pods that the real kube-scheduler binds in a second, with the extender and without."""

from __future__ import annotations

import click
from hack.benchmarks.figures import print_rows
from hack.benchmarks.fleet import device_classes, machine_with, node_name, slices
from hack.benchmarks.plane import clear_fleet, control_plane, write
from hack.benchmarks.scheduling import CLAIMS, measure, names, nodes, published
from hack.realcluster.modules import DEFAULT_VERSION, VERSIONS

from partita_plugins.model.offer import Offer

OFFERS = {
    "none": Offer(),
    "gpu": Offer(),
    "mig-1g": Offer(mig_shapes=frozenset({"1g", "3g"})),
    "mig-3g": Offer(mig_shapes=frozenset({"1g", "3g"})),
    "shared": Offer(shared=True),
}
"""What the nodes offer where pods want this; whole GPUs beside it."""

HELP = f"""{__doc__}

etcd, kube-apiserver and kube-scheduler of --version, and nodes that exist in the API only, with eight H100 each as the
driver publishes them. Pods wait before kube-scheduler starts; the clock runs from the first bound to the last. The
extenders: none; noop, which decodes each question and answers all alike; partita, as shipped, with the strong preset.
Name several claims and extenders for ratios in one run (ratio is against the first extender named).

first_choice_percent   of the allocations that partita foretold, those on the node that it put first
mismatch_percent       of them, those with other devices than it foretold for that node

\b
Example:
  hack/bench throughput --nodes 500 --claim gpu --extender noop --extender partita --json
"""


@click.command(help=HELP)
@click.option("--nodes", "count", default=500, show_default=True, type=click.IntRange(1, 5000))
@click.option("--pods", default=200, show_default=True, type=click.IntRange(2, 4000))
@click.option("--claim", "claims", multiple=True, default=("gpu",), type=click.Choice(list(CLAIMS)))
@click.option(
    "--extender", "extenders", multiple=True, default=("none",), type=click.Choice(["none", "noop", "partita"])
)
@click.option("--version", default=DEFAULT_VERSION, show_default=True, type=click.Choice(VERSIONS))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def throughput(
    *, count: int, pods: int, claims: tuple[str, ...], extenders: tuple[str, ...], version: str, as_json: bool
) -> None:
    """Measure and print."""
    rows: list[dict[str, object]] = []
    spaces = names("throughput")
    with control_plane(version) as api:
        write(api, device_classes())
        for wish in claims:
            write(api, nodes(count))
            machine = machine_with(8)
            fleet = (one for number in range(count) for one in slices(node_name(number), machine, OFFERS[wish]))
            write(api, map(published, fleet))
            first = 0.0
            for extender in extenders:
                bound = measure(api, next(spaces), pods=pods, wish=CLAIMS[wish], extender=extender)
                first = first or bound.pods_per_second
                rows.append(
                    {
                        "bench": "throughput",
                        "nodes": count,
                        "claim": wish,
                        "extender": extender,
                        "pods_per_second": bound.pods_per_second,
                        "ratio": round(bound.pods_per_second / first, 3),
                        "first_choice_percent": bound.first_choice_percent,
                        "mismatch_percent": bound.mismatch_percent,
                    }
                )
                if as_json:
                    print_rows(rows[-1:], as_json=True)  # each as it comes: what follows may take minutes
            clear_fleet(api)
    if not as_json:
        print_rows(rows, as_json=False)
