"""HTTP to a port of a pod, through the API server: who may forward ports there may ask, without other credentials."""

from __future__ import annotations

import http.client
import socket

import websocket
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import portforward

from partita_plugins.errors import PartitaError
from partita_plugins.kube.api import REQUEST_SECONDS, KubeApi
from partita_plugins.kube.errors import Unavailable, error_of


class _Forwarded(http.client.HTTPConnection):
    """A connection that is made already."""

    def __init__(self, made: socket.socket) -> None:
        super().__init__("localhost")
        made.settimeout(REQUEST_SECONDS)
        self.sock = made


def get_from_pod(api: KubeApi, pod: str, namespace: str, port: int, path: str) -> tuple[int, bytes]:
    """Status and body of a GET of plain HTTP on the pod's loopback. Needs get and create on pods/portforward there.

    Raises ApiError where the API server refuses, Unavailable where there is no answer.
    """
    websocket.setdefaulttimeout(REQUEST_SECONDS)  # Else it waits for ever for a node that is gone.
    try:
        forward = portforward(
            client.CoreV1Api(api.client).connect_get_namespaced_pod_portforward, pod, namespace, ports=str(port)
        )
    except ApiException as error:
        raise _refusal(error, pod) from error
    try:
        connection = _Forwarded(forward.socket(port))
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (http.client.HTTPException, OSError) as error:
        found = forward.error(port) or str(error)
        raise Unavailable(f"no answer from port {port} of pod {namespace}/{pod}: {found}") from error
    finally:
        forward.close()


def _refusal(error: ApiException, pod: str) -> PartitaError:
    """The package tells no status of its own; what it stumbled over does."""
    cause = error.__context__
    if isinstance(cause, websocket.WebSocketBadStatusException):
        return error_of(cause.status_code, "", f"no port-forward to pod {pod}")
    return Unavailable(f"no port-forward to pod {pod}: {error.reason}")
