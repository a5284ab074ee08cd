"""How a body is decoded: in bounds, and with words that say what is wrong."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Raw, field

from partita_plugins.errors import InvalidInput
from partita_scheduler.cluster.view import Pod

T = TypeVar("T")

MAX_BODY_BYTES = 8 * 2**20
"""20,000 names of 253 characters and a pod are below 6 MiB."""

MAX_NODE_NAMES = 20_000
MAX_NAME, MAX_NAMESPACE, MAX_UID = 253, 63, 128

NodeName = Annotated[str, Meta(max_length=MAX_NAME)]
NodeNames = Annotated[tuple[NodeName, ...], Meta(max_length=MAX_NODE_NAMES)]
NOTHING = Raw(b"null")


class Asked(msgspec.Struct, kw_only=True):
    """What every question has: a pod, and nodes or their names."""

    pod: Pod | None = field(name="Pod", default=None)
    pod_camel: Pod | None = field(name="pod", default=None)
    nodes: Raw = field(name="Nodes", default=NOTHING)
    nodes_camel: Raw = field(name="nodes", default=NOTHING)
    node_names: Raw = field(name="NodeNames", default=NOTHING)
    node_names_camel: Raw = field(name="nodeNames", default=NOTHING)


def decode(raw: bytes, as_: type[T]) -> T:
    """A body as a value. Raises InvalidInput that says what is wrong with it."""
    if len(raw) > MAX_BODY_BYTES:
        raise InvalidInput(f"the request is larger than {MAX_BODY_BYTES} bytes")
    try:
        return msgspec.json.decode(raw, type=as_)
    except RecursionError as error:
        raise InvalidInput("the request is nested too deeply") from error
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise InvalidInput(f"the request is not what kube-scheduler sends: {str(error)[:300]}") from error


def raw_names(args: Asked) -> bytes:
    """The names as they came, in JSON; "null" where there are none."""
    found = bytes(args.node_names)
    return found if found != b"null" else bytes(args.node_names_camel)


def decode_names(raw: bytes) -> tuple[str, ...]:
    """The names of a list in JSON. Raises InvalidInput."""
    try:
        return msgspec.json.decode(raw, type=NodeNames)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        told = str(error)[:300]
        told = told.replace("`$", "`$.NodeNames") if "`$" in told else f"{told} - at `$.NodeNames`"
        raise InvalidInput(f"the request is not what kube-scheduler sends: {told}") from error


def pod_of(args: Asked) -> Pod:
    """The question's pod. Raises InvalidInput."""
    pod = args.pod or args.pod_camel
    if pod is None:
        raise InvalidInput("the request has no Pod")
    return bounded(pod)


def bounded(pod: Pod) -> Pod:
    """The pod, if what names it is no longer than the API allows. Raises InvalidInput."""
    bounds = {"name": MAX_NAME, "namespace": MAX_NAMESPACE, "uid": MAX_UID}
    for part, limit in bounds.items():
        if len(getattr(pod.metadata, part)) > limit:
            raise InvalidInput(f"Pod.metadata.{part} is longer than {limit} characters")
    return pod
