"""The command line of the driver: run it, look at what it would publish, clean up after it."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from partita_driver.doctor.command import doctor
from partita_driver.opening.flags import DEFAULTS, backend_options, node_options, option
from partita_driver.opening.logs import configure_logs
from partita_driver.opening.opened import open_backend
from partita_driver.opening.options import Options
from partita_driver.settings.parse import SHAPES
from partita_driver.slices.show import as_json, as_table, contents_of
from partita_plugins.ending import when_told_to_end
from partita_plugins.errors import PartitaError
from partita_plugins.model.offer import Offer, SlottedHardware
from partita_plugins.wire.learn import learn_types

LEVELS = ("debug", "info", "warning", "error")

M_ARENA_MAX = -8
"""Parameter of glibc's mallopt(3)."""

HEAPS_MAX = 2
"""Calls of the hardware have threads of their own, and with a heap for each the process grew from 130 to 190 MiB."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="partita", prog_name="partita-driver")
def cli() -> None:
    """The DRA driver of Partita: hands pods pieces of GPUs that have just been proven to compute.

    \b
    Look at what a machine would publish, without a cluster and without GPUs:
      partita-driver devices --machine hgx-h100 --mig 1g,3g
    See what is in the way on a node:
      partita-driver doctor
    Run beside a kubelet, on simulated GPUs:
      partita-driver run --node-name $(hostname) --backend simulated --machine hgx-h100 --kubeconfig ~/.kube/config
    """


@cli.command()
@node_options
@option("--namespace", env=("POD_NAMESPACE",), default=DEFAULTS.namespace, help="Where ConfigMap partita-nodes is.")
@option(
    "--validator",
    default=DEFAULTS.validator,
    help="Proves that devices compute: cupy on real GPUs, reference or host on simulated ones; or none.",
)
@option(
    "--revalidate-seconds",
    default=DEFAULTS.revalidate_seconds,
    type=click.FloatRange(0.1),
    help="Pause before a quarantined GPU is validated again; doubled each time that it fails.",
)
@option(
    "--revalidate-longest-seconds",
    default=DEFAULTS.revalidate_longest_seconds,
    type=click.FloatRange(0.1),
    help="Longest such pause.",
)
@option("--http-address", default="127.0.0.1:8089", help='/metrics, /healthz, /readyz; "" for none.')
@option("--health-address", default="", help="Standard gRPC health service over TCP, as host:port.")
@option("--log-level", default="info", type=click.Choice(LEVELS), help="What is worth a line.")
@option("--log-json/--log-text", default=not sys.stderr.isatty(), help="One JSON object a line, or text.")
def run(*, log_level: str, log_json: bool, **options: Any) -> None:
    """Serve this node's kubelet until SIGTERM.

    \b
    Example, with every path under one folder:
      partita-driver run --node-name a --backend simulated --machine dgx-a100-80 --kubeconfig kc \\
        --state-dir /tmp/a/state --cdi-dir /tmp/a/cdi --plugin-dir /tmp/a/plugin --registry-dir /tmp/a/registry
    """
    # `devices` needs neither gRPC nor the API client, whose import takes longer than its work.
    from partita_driver.app import Driver  # noqa: PLC0415

    _limit_heaps()
    faulthandler.enable(file=2)  # standard error itself: sys.stderr may be a stand-in without a descriptor
    learn_types()
    configure_logs(log_level, as_json=log_json)
    driver = Driver(Options(**options))
    when_told_to_end(driver.stop)
    if not driver.run():
        # Like SIGKILL: a call that is still at work must not outlive the lock on the state folder.
        os._exit(0)


@cli.command()
@node_options
@click.option("--force", is_flag=True, help="Also take back what prepared claims hold: their pods lose their devices.")
def cleanup(*, force: bool, **options: Any) -> None:
    """Remove what the driver left on this node: partitions, CDI files, sockets, slices, its memory.

    \b
    To uninstall Partita, in this order:
      1. delete the pods that hold GPUs: without a driver they cannot end
      2. kubectl delete daemonset -n partita-system partita-driver
      3. on every GPU node, or from a pod as docs/install.md does it:
         partita-driver cleanup --node-name $(hostname) --kubeconfig ~/.kube/config
      4. take the stanza out of the kube-scheduler configuration, then kubectl delete -k manifests/base

    Claims that pods may be using are kept, and so is what is needed to clean them up later. A GPU or an API server that
    does not answer is a failed row and exit status 1, and the rest is removed: run it again later. Running it where
    nothing is left does nothing.
    """
    from partita_driver.cleanup import clean_up  # noqa: PLC0415

    configure_logs("error", as_json=False)
    rows = list(clean_up(Options(**options), force=force))
    if not rows:
        click.echo("nothing is left of the driver on this node")
        return
    width = max(len(row.kind) for row in rows)
    for row in rows:
        click.echo(f"{row.kind.ljust(width)}  {row.outcome.partition(':')[0].ljust(7)}  {row.name}", nl=False)
        click.echo(f"  ({row.outcome.partition(': ')[2]})" if ":" in row.outcome else "")
    sys.exit(any(row.outcome.startswith("failed") for row in rows))


@cli.command()
@backend_options
@click.option("--node-name", default="node", show_default=True, help="Name in slices, and seed of the UUIDs.")
@click.option("--whole/--no-whole", default=True, show_default=True, help="Offer whole GPUs.")
@click.option("--mig", default="", help=f'Shapes of partitions, comma-separated, or "all": {", ".join(SHAPES)}.')
@click.option("--shared", is_flag=True, help="Offer shared GPUs.")
@click.option("--groups", default="", help="Sizes of groups, comma-separated: 2, 4, 8.")
@click.option("--monitor", is_flag=True, help="Offer a monitor: all GPUs to look at, for claims with admin access.")
@click.option("--json", "json_", is_flag=True, help="The slices' contents as JSON.")
def devices(
    *,
    backend: str,
    machine: str,
    simulated_dir: Path | None,
    host_root: Path,
    driver_root: Path,
    node_name: str,
    whole: bool,
    mig: str,
    shared: bool,
    groups: str,
    monitor: bool,
    json_: bool,
) -> None:
    """Print what this node, or a machine of the catalog, would publish.

    \b
      partita-driver devices --machine dgx-a100-80
      partita-driver devices --machine hgx-h100 --mig all --groups 2,4 --json
    """
    offer = Offer(
        whole=whole,
        mig_shapes=_chosen("--mig", ",".join(SHAPES) if mig == "all" else mig, SHAPES),
        shared=shared,
        group_sizes=frozenset(int(size) for size in _chosen("--groups", groups, ("2", "4", "8"))),
        monitor=monitor,
    )
    with tempfile.TemporaryDirectory(prefix="partita-") as scratch:
        options = Options(
            node_name=node_name,
            backend="simulated" if machine else backend,
            machine=machine,
            simulated_dir=simulated_dir,
            host_root=host_root,
            driver_root=driver_root,
            state_dir=Path(scratch),
        )
        hardware = open_backend(options).discover()
    node = SlottedHardware(hardware=hardware, slots=tuple(range(len(hardware.gpus))))
    contents = contents_of(node_name, node, offer)
    click.echo(as_json(contents) if json_ else as_table(contents))


def _chosen(option: str, text: str, known: tuple[str, ...]) -> frozenset[str]:
    wanted = frozenset(part.strip() for part in text.split(",") if part.strip())
    if unknown := sorted(wanted - set(known)):
        raise click.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(known)}", param_hint=option)
    return wanted


def _limit_heaps() -> None:
    """Let threads share heaps, before there are any. Other C libraries than glibc have one heap anyway."""
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(M_ARENA_MAX, HEAPS_MAX)


cli.add_command(doctor)


def main() -> None:
    """Entry point: errors that say what to do are one line, not a traceback."""
    try:
        cli.main(standalone_mode=True)
    except PartitaError as error:
        click.echo(f"partita-driver: {error}", err=True)
        sys.exit(1)
