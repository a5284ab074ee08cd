"""The command line of the extender."""

from __future__ import annotations

import faulthandler
import os
import socket
import sys
from pathlib import Path

import click
import structlog

from partita_plugins.ending import when_told_to_end
from partita_plugins.errors import InvalidInput
from partita_plugins.kube.api import KubeApi
from partita_plugins.wire.learn import learn_types
from partita_scheduler.app import Application
from partita_scheduler.cli import Plain, option
from partita_scheduler.cluster.watch import STALE_SECONDS
from partita_scheduler.http.address import Address
from partita_scheduler.http.server import THREADS
from partita_scheduler.http.tls import Tls
from partita_scheduler.install.certificates import write_certificates
from partita_scheduler.install.stanza import DEFAULT, PRESETS, stanza
from partita_scheduler.memory import Collector
from partita_scheduler.scoring.settings_file import Judging, read_settings
from partita_scheduler.settings import Settings

SWITCH_SECONDS = 0.0005
"""How long an answer may wait for a thread that follows the cluster; Python's own 5 ms are longer than an answer."""

EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(cls=Plain, context_settings={"show_default": True})
@click.version_option(package_name="partita")
def main() -> None:
    """Partita's scheduler extender: puts GPU pods where their devices fit best.

    \b
    1. partita-scheduler certificates --out pki --host partita-scheduler.partita-system.svc
    2. partita-scheduler stanza --url https://ADDRESS:8888 \\
         --server-name partita-scheduler.partita-system.svc > stanza.yaml      # merge it into kube-scheduler's --config
    3. partita-scheduler run --listen 0.0.0.0:8888 \\
         --tls-cert pki/server.crt --tls-key pki/server.key --client-ca pki/ca.crt

    Options of run can be set in the environment: --listen is PARTITA_LISTEN.
    """


@main.command()
@option("--kubeconfig", type=EXISTING, help="File with the way to the API server; else the pod's own account.")
@option("--listen", default="127.0.0.1:8888", help="HOST:PORT for kube-scheduler. Not loopback: needs TLS.")
@option("--health-listen", help="HOST:PORT for plain /healthz, /readyz and /metrics: probes have no certificate.")
@option("--why-listen", help="HOST:PORT on loopback for plain /explain: kubectl partita why forwards a port there.")
@option("--tls-cert", type=EXISTING, help="Server certificate (PEM).")
@option("--tls-key", type=EXISTING, help="Its key (PEM).")
@option("--client-ca", type=EXISTING, help="CA of the client certificates that are let in (PEM).")
@option("--leader-election/--no-leader-election", default=True, help="One replica answers, the others stand by.")
@option(
    "--handover-seconds",
    default=2.0,
    type=click.FloatRange(0, 60),
    help="For another to take over at the end. Its pod needs a grace of 30 s more.",
)
@option("--namespace", default="partita-system", help="Namespace of the Lease.")
@option("--stale-after-seconds", default=STALE_SECONDS, type=click.FloatRange(1), help="No opinion after that.")
@option("--settings", "settings_file", type=EXISTING, help="File that says how nodes are judged.")
@option("--threads", default=THREADS, type=click.IntRange(2, 64), help="Requests answered at once.")
@option("--explain/--no-explain", default=True, help="Write an event on pods that fit nowhere.")
@option("--events-per-minute", default=30, type=click.IntRange(1, 600), help="At most, by the explainer.")
def run(
    *,
    kubeconfig: Path | None,
    listen: str,
    health_listen: str | None,
    why_listen: str | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    client_ca: Path | None,
    leader_election: bool,
    handover_seconds: float,
    namespace: str,
    stale_after_seconds: float,
    settings_file: Path | None,
    threads: int,
    explain: bool,
    events_per_minute: int,
) -> None:
    """Answer kube-scheduler until SIGTERM, and then until another replica does. A second SIGTERM ends it at once."""
    judging = read_settings(settings_file) if settings_file else Judging()
    settings = Settings(
        listen=Address.parse(listen),
        health_listen=Address.parse(health_listen) if health_listen else None,
        why_listen=_loopback(why_listen) if why_listen else None,
        tls=_tls(tls_cert, tls_key, client_ca),
        leader_election=leader_election,
        handover_seconds=handover_seconds,
        namespace=namespace,
        identity=f"{socket.gethostname()}-{os.getpid()}",
        stale_seconds=stale_after_seconds,
        threads=threads,
        scoring=judging.scoring,
        count_cpu=judging.count_cpu,
        explain=explain,
        events_per_minute=events_per_minute,
    )
    _log_as_json()
    api = KubeApi.connect(str(kubeconfig) if kubeconfig else None, user_agent="partita-scheduler")
    application = Application(api, settings)
    when_told_to_end(application.end)
    faulthandler.enable(file=2)  # standard error itself: sys.stderr may be a stand-in without a descriptor
    learn_types()
    sys.setswitchinterval(SWITCH_SECONDS)
    application.start()
    click.echo(f"listening on {application.address.host}:{application.address.port}", err=True)
    Collector().run(application.handed_over)
    application.stop()


@main.command(name="stanza")
@click.option("--url", default="https://127.0.0.1:8888", help="Where kube-scheduler reaches the extender.")
@click.option(
    "--preset",
    type=click.Choice(list(PRESETS)),
    default=DEFAULT,
    show_default=True,
    help="sole: our first choice is the only node left; strict: and nothing is scheduled without us; strong: it wins "
    "against any one plugin of kube-scheduler but for PreferNoSchedule taints; mild: it has a say.",
)
@click.option("--weight", type=click.IntRange(1, 100), help="Of strong and mild: instead of theirs.")
@click.option("--preempt/--no-preempt", default=False, help="Ask us before preemption too: every candidate stays.")
@click.option("--certificates", default="/etc/kubernetes/partita", help="Folder on kube-scheduler's host.")
@click.option("--server-name", default="", help="Name in the extender's certificate, where the URL has an address.")
def print_stanza(
    *, url: str, preset: str, weight: int | None, preempt: bool, certificates: str, server_name: str
) -> None:
    """Print the stanza for kube-scheduler's configuration, with reasons."""
    if not url.startswith(("http://", "https://")):
        raise InvalidInput(f"{url!r} is not a URL", advice="write https://HOST:PORT")
    text = stanza(
        url=url, preset=preset, weight=weight, preempt=preempt, certificates=certificates, server_name=server_name
    )
    click.echo(text, nl=False)


@main.command()
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to make them in.")
@click.option("--host", "hosts", multiple=True, help="DNS name or address of the extender; may be repeated.")
def certificates(*, out: Path, hosts: tuple[str, ...]) -> None:
    """Make a CA, a server and a client certificate. Nothing that exists is overwritten."""
    for path in write_certificates(out, hosts):
        click.echo(path)


def _log_as_json() -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(20),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _loopback(text: str) -> Address:
    address = Address.parse(text)
    if not address.loopback:
        raise InvalidInput(f"--why-listen {text} would explain pods to anybody", advice="listen on 127.0.0.1")
    return address


def _tls(certificate: Path | None, key: Path | None, client_ca: Path | None) -> Tls | None:
    given = [path for path in (certificate, key, client_ca) if path is not None]
    if not given:
        return None
    if certificate is None or key is None or client_ca is None:
        raise InvalidInput("TLS needs three files", advice="give --tls-cert, --tls-key and --client-ca together")
    return Tls(certificate=certificate, key=key, client_ca=client_ca)
