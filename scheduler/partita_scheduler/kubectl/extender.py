"""What the extender that answers kube-scheduler finds about a pod: by its workload, its settings, its assumptions."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import quote

import msgspec

from partita_plugins.errors import Permanent
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.errors import Unavailable
from partita_plugins.kube.port_forward import get_from_pod
from partita_plugins.kube.resources import PODS
from partita_scheduler.answers.report import PodReport
from partita_scheduler.cluster.view import Pod

SYSTEM = "partita-system"
LABEL = "app.kubernetes.io/name=partita-scheduler"
WHY_PORT = 8887
"""As manifests/base/scheduler has it."""


def explained(api: KubeApi, pod: Pod) -> PodReport:
    """Raises PartitaError where it cannot be asked, or does not know the pod."""
    extender = _answering(api)
    path = f"/explain/{quote(pod.metadata.namespace)}/{quote(pod.metadata.name)}"
    status, body = get_from_pod(api, extender, SYSTEM, WHY_PORT, path)
    if status != HTTPStatus.OK:
        raise Unavailable(f"pod {SYSTEM}/{extender} answered {status}: {body[:200].decode('utf-8', 'replace')}")
    try:
        return msgspec.json.decode(body, type=PodReport)
    except msgspec.DecodeError as error:
        raise Permanent(f"pod {SYSTEM}/{extender} does not speak as this plugin does", advice="update it") from error


def _answering(api: KubeApi) -> str:
    """The pod that is Ready: a standby is not."""
    for pod in api.list(PODS, SYSTEM, as_=Pod, labelSelector=LABEL)[0]:
        if any(one.type == "Ready" and one.status == "True" for one in pod.status.conditions):
            return pod.metadata.name
    raise Unavailable(f"no extender is Ready in {SYSTEM}")
