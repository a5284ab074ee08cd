"""Fixtures of the scenarios: the cluster that `make e2e` brought up, with Partita installed on it."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from partita_plugins.kube.api import KubeApi
from tests.e2e.installation import Installation
from tests.e2e.lab import CLUSTER, Lab, run, until
from tests.e2e.node import Node, all_nodes, nothing_left
from tests.e2e.predictions import predictions

# Only nodes that are laid out as NVIDIA's driver leaves them have a program for MPS daemons.
collect_ignore = [] if os.environ.get("PARTITA_E2E_BACKEND") == "nvml" else ["test_mps.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs the real cluster."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def api() -> KubeApi:
    return KubeApi.connect(run(CLUSTER, "kubeconfig").strip(), user_agent="partita-scenarios")


@pytest.fixture(scope="session")
def installation() -> Installation:
    """What `python -m hack.e2e` installed; it says where in PARTITA_E2E_DIR, and with which backend."""
    return Installation(Path(os.environ["PARTITA_E2E_DIR"]), os.environ.get("PARTITA_E2E_BACKEND", "simulated"))


@pytest.fixture(scope="session")
def nodes() -> dict[str, Node]:
    return all_nodes()


@pytest.fixture(autouse=True)
def nothing_stays(nodes: dict[str, Node]) -> Iterator[None]:
    """After every scenario: no partition, journal record, CDI file or fault on any node, and one driver's sockets."""
    yield
    for node in nodes.values():
        nothing_left(node)
        until(f"one driver's sockets on {node.name}", lambda node=node: len(node.sockets()) == 2)  # type: ignore[misc]


@pytest.fixture
def lab(api: KubeApi, installation: Installation, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A fresh namespace; afterwards all predictions are compared and all is deleted."""
    title = re.sub("[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())
    name = f"{title[:40].strip('-')}-{secrets.token_hex(3)}"
    lab = Lab(api, name)
    lab.kubectl("create", "namespace", name)
    yield lab
    made = predictions(installation, lab) if installation.extender_ready() else []
    wrong = [p for p in made if p["result"] == "mismatch"]
    right = sum(p["result"] == "match" for p in made)
    installation.figure("predictions", scenario=title, right=right, wrong=len(wrong), all=len(made))
    lab.kubectl("delete", "daemonsets,deployments,pods,resourceclaims", "--all", "-n", name)
    lab.kubectl("delete", "namespace", name, "--wait=false")
    assert not wrong, f"predicted devices differ from status.allocation: {wrong}"
