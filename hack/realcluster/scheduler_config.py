"""Turns the configuration a user writes for kube-scheduler into the one it can run with here."""

from __future__ import annotations

import json
import re

from hack.realcluster.errors import ClusterError

API_VERSION = "kubescheduler.config.k8s.io/v1"
KIND = "KubeSchedulerConfiguration"
_OURS = ("apiVersion", "kind", "clientConnection", "leaderElection")
_KEY = re.compile(r"^(?:\"([A-Za-z]+)\"|([A-Za-z]+))\s*:")


def merge(text: str, kubeconfig: str) -> str:
    """Return the user's configuration with the connection and the leader election of this cluster.

    The user's file needs only what differs, such as `extenders:` and `profiles:`. It may be block-style
    YAML, whose top-level keys start their lines, or JSON.
    """
    ours = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "clientConnection": {"kubeconfig": kubeconfig},
        "leaderElection": {"leaderElect": False},
    }
    if text.lstrip().startswith("{"):
        return json.dumps(_json(text) | ours, indent=2) + "\n"
    head = "".join(f"{key}: {json.dumps(value)}\n" for key, value in ours.items())
    return head + _without_ours(text)


def _json(text: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        msg = f"The scheduler configuration begins like JSON but is not: {error}. Mend the file."
        raise ClusterError(msg) from error
    return dict(value)


def _without_ours(text: str) -> str:
    """Return block-style YAML without the top-level keys that this cluster sets itself."""
    kept: list[str] = []
    ours = False
    for line in text.removeprefix("\ufeff").splitlines(keepends=True):
        if line.startswith("---"):
            if any(content.strip() and not content.startswith("#") for content in kept):
                msg = "The scheduler configuration holds several documents: leave the one for kube-scheduler."
                raise ClusterError(msg)
            continue
        match = _KEY.match(line)
        if match:
            ours = (match[1] or match[2]) in _OURS
        elif line[:1] not in (" ", "\t", "-", "#", "\n", "\r"):
            msg = f"The scheduler configuration has a line that is no block-style YAML: {line.strip()}"
            raise ClusterError(msg)
        if not ours:
            kept.append(line)
    return "".join(kept)
