"""The baseline: a Flask extender on the extender's own server that decodes each question and answers all alike."""

from __future__ import annotations

import threading

import click
import msgspec
from flask import Flask, Response, request

from partita_scheduler.http.address import Address
from partita_scheduler.http.server import ExtenderServer
from partita_scheduler.protocol.questions import parse_args
from partita_scheduler.protocol.replies import ExtenderFilterResult, HostPriority


def create_app() -> Flask:
    """Keeps every node, prefers none."""
    app = Flask("noop", static_folder=None)

    def filter_() -> Response:
        args = parse_args(request.get_data(cache=False))
        return _json(ExtenderFilterResult(node_names=list(args.node_names)))

    def prioritize() -> Response:
        args = parse_args(request.get_data(cache=False))
        return _json([HostPriority(host=name, score=0) for name in args.node_names])

    app.add_url_rule("/filter", "filter", filter_, methods=["POST"])
    app.add_url_rule("/prioritize", "prioritize", prioritize, methods=["POST"])
    return app


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), mimetype="application/json")


@click.command()
@click.option("--listen", default="127.0.0.1:0")
def main(*, listen: str) -> None:
    """Serve until killed."""
    server = ExtenderServer(create_app(), Address.parse(listen), tls=None, max_body_bytes=8 * 2**20)
    address = server.bind()
    click.echo(f'"listening" "port": {address.port}')
    threading.Thread(target=server.serve, daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
