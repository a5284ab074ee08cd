"""The command line of the kubectl plugin: kubectl finds `kubectl-partita` on PATH for `kubectl partita`."""

from __future__ import annotations

from importlib.metadata import version as version_of

import click
import msgspec

from partita_plugins.errors import PartitaError, Permanent
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.errors import NotFound
from partita_plugins.kube.resources import PODS
from partita_plugins.wire.resource_claim import ResourceClaim
from partita_scheduler.cli import Plain
from partita_scheduler.cluster.view import ClusterView, Pod
from partita_scheduler.cluster.watch import parse_minor
from partita_scheduler.kubectl.draw import draw_map, draw_why
from partita_scheduler.kubectl.fleet import fleet
from partita_scheduler.kubectl.judged import judged, waits
from partita_scheduler.kubectl.read import connect, fresh_view, validation_failures


@click.group(cls=Plain, context_settings={"show_default": True})
@click.option("--kubeconfig", help="File with the way to the API server; else KUBECONFIG, else ~/.kube/config.")
@click.pass_context
def main(ctx: click.Context, *, kubeconfig: str | None) -> None:
    """GPUs of the cluster: who has what, and why a pod is where it is or nowhere.

    \b
    kubectl partita map
    kubectl partita why train-0 -n team-a
    """
    ctx.obj = kubeconfig


@main.command(name="map")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
@click.pass_obj
def map_(kubeconfig: str | None, *, as_json: bool) -> None:
    """Draw the fleet: node, GPU, partitions, and whose pod has them. One # is one memory slice in use."""
    nodes = fleet(fresh_view(connect(kubeconfig)))
    click.echo(msgspec.json.encode(nodes) if as_json else draw_map(nodes))


@main.command()
@click.argument("pod")
@click.option("-n", "--namespace", default="default", help="Of the pod.")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
@click.pass_obj
def why(kubeconfig: str | None, *, pod: str, namespace: str, as_json: bool) -> None:
    """Which nodes were refused and for what, the score of the rest, what is known of the devices it has.

    The extender in partita-system says so itself, through a port-forward to its pod: that needs list on pods there, and
    get and create on pods/portforward. Where it cannot be asked, nodes are judged here, as by an extender that has just
    started and has no settings file, and a note says why.
    """
    api = connect(kubeconfig)
    found, view = _pod(api, namespace, pod.removeprefix("pod/")), fresh_view(api)
    report = judged(api, found, view)
    if as_json:
        click.echo(msgspec.json.encode(report))
        return
    failures = validation_failures(api, found)
    click.echo(draw_why(report, found.status.phase, _claims(view, found), failures, concerned=waits(view, found)))


@main.command()
@click.pass_obj
def version(kubeconfig: str | None) -> None:
    """Of the plugin, and of the cluster if it answers."""
    click.echo(f"kubectl-partita {version_of('partita')}")
    try:
        click.echo(f"Kubernetes 1.{parse_minor(connect(kubeconfig).request('GET', '/version'))}")
    except PartitaError as error:
        click.echo(f"no cluster: {error}", err=True)


def _pod(api: KubeApi, namespace: str, name: str) -> Pod:
    try:
        return api.get(PODS, name, namespace, as_=Pod)
    except NotFound as error:
        raise Permanent(f"there is no pod {namespace}/{name}", advice="give its namespace with -n") from error


def _claims(view: ClusterView, pod: Pod) -> list[ResourceClaim]:
    made = {status.name: status.resource_claim_name for status in pod.status.resource_claim_statuses}
    names = [entry.resource_claim_name or made.get(entry.name) for entry in pod.spec.resource_claims]
    if pod.status.extended_resource_claim_status is not None:
        names.append(pod.status.extended_resource_claim_status.resource_claim_name)
    found = (view.claims.get((pod.metadata.namespace, name)) for name in names if name)
    return [claim for claim in found if claim is not None]
