"""The baseline: a Flask extender on cheroot, set up well, that decodes each question and answers all alike."""

from __future__ import annotations

import threading

import click
import msgspec
from cheroot.wsgi import Server
from flask import Flask, Response, request

from partita_scheduler.http.address import Address
from partita_scheduler.protocol.questions import parse_args
from partita_scheduler.protocol.replies import ExtenderFilterResult, HostPriority

THREADS = 8


class Prompt(Server):
    """Without Nagle's delay, which costs 40 ms a call."""

    nodelay = True


def create_app() -> Flask:
    """Keeps every node, prefers none."""
    app = Flask("noop", static_folder=None)

    def filter_() -> Response:
        args = parse_args(request.get_data(cache=False))
        return _json(ExtenderFilterResult(node_names=list(args.node_names)))

    def prioritize() -> Response:
        args = parse_args(request.get_data(cache=False))
        return _json([HostPriority(host=name, score=0) for name in args.node_names])

    for verb in ("filter", "choose"):
        app.add_url_rule(f"/{verb}", verb, filter_, methods=["POST"])
    app.add_url_rule("/prioritize", "prioritize", prioritize, methods=["POST"])
    return app


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), mimetype="application/json")


@click.command()
@click.option("--listen", default="127.0.0.1:0")
def main(*, listen: str) -> None:
    """Serve until killed."""
    address = Address.parse(listen)
    server = Prompt((address.host, address.port), create_app(), numthreads=THREADS, max=THREADS, request_queue_size=128)
    server.prepare()
    click.echo(f'"listening" "port": {server.bind_addr[1]}')
    threading.Thread(target=server.serve, daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
