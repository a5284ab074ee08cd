"""Pods that the real kube-scheduler binds in a second, with the extender and without."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import click
from hack.benchmarks.extenders import NAMES
from hack.benchmarks.figures import print_rows
from hack.benchmarks.fleet import device_classes, machine_with, node_name, slices
from hack.benchmarks.plane import clear_fleet, control_plane, write
from hack.benchmarks.plot import write_bars
from hack.benchmarks.scheduling import CLAIMS, Bound, measure, names, nodes, published
from hack.benchmarks.targets import tell
from hack.realcluster.modules import DEFAULT_VERSION, VERSIONS

from partita_plugins.model.offer import Offer
from partita_scheduler.install.stanza import DEFAULT, PRESETS

OFFERS = {
    "none": Offer(),
    "gpu": Offer(),
    "mig-1g": Offer(mig_shapes=frozenset({"1g", "3g"})),
    "mig-3g": Offer(mig_shapes=frozenset({"1g", "3g"})),
    "shared": Offer(shared=True),
}
"""What the nodes offer where pods want this; whole GPUs beside it."""

PODS = {"none": 2000, "gpu": 300, "mig-1g": 200, "mig-3g": 200, "shared": 200}
"""By claim: about ten seconds each, on a machine that does nothing else."""

HELP = f"""{__doc__}

etcd, kube-apiserver and kube-scheduler of --version, and nodes that exist in the API only, with eight H100 each as the
driver publishes them. Pods wait before kube-scheduler starts; the clock runs from the first bound to the last. Rounds
of all extenders take turns, every other one backwards: what else the machine does falls on all of them. With --stay
pods go as others come, so that devices are freed while kube-scheduler looks for some. kube-scheduler asks every
extender what the stanza's --preset says: once for each pod (sole, strict), or twice (strong, mild).

\b
none      no extender
instant   answers at once from a bare socket: the floor, since what is left is kube-scheduler's side of the calls
noop      a Flask extender that decodes each question and answers all alike
partita   as shipped, once what its start begins is done

\b
pods_per_second        the median of the rounds; least and most beside it
ratio                  against the first extender named, in the same round: the median of the rounds; least and most
extender_cpu_ms        what the extender spent for each pod, whatever else the machine does; of partita, with
                       following the cluster and learning from it
first_choice_percent   of the allocations that partita foretold, those on the node that it put first
mismatch_percent       of them, those with other devices than it foretold for that node

\b
Example:
  hack/bench throughput --nodes 500 --claim gpu --extender noop --extender partita --json
  hack/bench throughput --nodes 500 --claim gpu --extender partita --stay 40
"""

Rounds = Mapping[str, Sequence[Bound]]
"""By extender, one for each round."""


@click.command(help=HELP)
@click.option("--nodes", "count", default=500, show_default=True, type=click.IntRange(1, 5000))
@click.option(
    "--pods",
    type=click.IntRange(2, 4000),
    help=f"In each round. Default: {PODS['none']} without claims, else 200 to 300.",
)
@click.option("--claim", "claims", multiple=True, default=("gpu",), show_default=True, type=click.Choice(list(CLAIMS)))
@click.option("--extender", "extenders", multiple=True, default=("none",), show_default=True, type=click.Choice(NAMES))
@click.option("--repeats", default=3, show_default=True, type=click.IntRange(1, 100), help="Rounds of each extender.")
@click.option(
    "--stay",
    type=click.IntRange(1, 4000),
    help="Only so many bound pods stay: as one more comes, the first one goes with its claim. Default: all.",
)
@click.option("--preset", default=DEFAULT, show_default=True, type=click.Choice(list(PRESETS)), help="Of the stanza.")
@click.option("--version", default=DEFAULT_VERSION, show_default=True, type=click.Choice(VERSIONS))
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Write the rates to this SVG file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def throughput(
    *,
    count: int,
    pods: int | None,
    claims: tuple[str, ...],
    extenders: tuple[str, ...],
    repeats: int,
    stay: int | None,
    preset: str,
    version: str,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Measure and print."""
    rows: list[dict[str, object]] = []
    spaces = names("throughput")
    with control_plane(version) as api:
        write(api, device_classes())
        for wish in claims:
            tell("making the fleet")
            write(api, nodes(count))
            machine = machine_with(8)
            fleet = (one for number in range(count) for one in slices(node_name(number), machine, OFFERS[wish]))
            write(api, map(published, fleet))
            found: dict[str, list[Bound]] = {name: [] for name in extenders}
            bound = partial(measure, api, pods=pods or PODS[wish], wish=CLAIMS[wish], preset=preset, stay=stay)
            for number in range(repeats):
                for name in order(list(found), number):
                    found[name].append(bound(next(spaces), extender=name))
            tell("")
            rows += summary(found, nodes=count, claim=wish, stay=stay, preset=preset)
            if as_json:
                print_rows(rows[-len(found) :], as_json=True)  # each claim as it comes: the next may take minutes
            clear_fleet(api)
        # Before the control plane goes: if that fails, what has been measured is told.
        if not as_json:
            print_rows(rows, as_json=False)
        if plot is not None:
            _draw(plot, rows)


def order(extenders: Sequence[str], number: int) -> Sequence[str]:
    """Who is measured after whom in a round: nobody always comes first."""
    return extenders[::-1] if number % 2 else extenders


def summary(rounds: Rounds, **more: object) -> Iterator[dict[str, object]]:
    """A row for each extender; ratios are against the first one in the same round."""
    first = next(iter(rounds.values()))
    for extender, found in rounds.items():
        rates = [one.pods_per_second for one in found]
        ratios = [one.pods_per_second / base.pods_per_second for one, base in zip(found, first, strict=True)]
        yield {
            "bench": "throughput",
            **more,
            "extender": extender,
            "repeats": len(found),
            **_spread("pods_per_second", rates, 2),
            **_spread("ratio", ratios, 3),
            "extender_cpu_ms": _median(one.extender_cpu_ms for one in found),
            "first_choice_percent": _median(one.first_choice_percent for one in found),
            "mismatch_percent": _median(one.mismatch_percent for one in found),
        }


def _spread(name: str, values: Sequence[float], digits: int) -> dict[str, float]:
    found = {name: statistics.median(values), f"{name}_least": min(values), f"{name}_most": max(values)}
    return {key: round(value, digits) for key, value in found.items()}


def _median(values: Iterator[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _draw(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    bars: dict[str, dict[str, float]] = {}
    for row in rows:
        bars.setdefault(str(row["claim"]), {})[str(row["extender"])] = float(str(row["pods_per_second"]))
    write_bars(path, bars, title="Pods that kube-scheduler binds, by claim", y="pods a second")
