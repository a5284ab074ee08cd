"""Fixtures of the scenarios: the cluster that `make e2e` brought up, with Partita installed on it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from partita_plugins.kube.api import KubeApi
from tests.e2e.installation import Installation
from tests.e2e.lab import CLUSTER, Lab, run, until
from tests.e2e.predictions import disagreements


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
    """What `python -m hack.e2e` installed; it says where in PARTITA_E2E_DIR."""
    folder = Path(os.environ["PARTITA_E2E_DIR"])
    return Installation(certificates=folder / "certificates", stanza=folder / "kube-scheduler-config.yaml")


@pytest.fixture
def lab(api: KubeApi, installation: Installation, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A fresh namespace; afterwards all predictions are compared and all is deleted."""
    name = f"s-{request.node.name.replace('_', '-').replace('[', '-').rstrip(']').lower()}"[:50].rstrip("-")
    lab = Lab(api, name)
    lab.kubectl("create", "namespace", name)
    yield lab
    claims = lab.claims()
    wrong = disagreements(installation, claims)
    lab.kubectl("delete", "namespace", name, "--wait=false")
    lab.kubectl("delete", "pods", "--all", "-n", name, "--grace-period=0", "--force")
    until(f"namespace {name} is gone", lambda: not _exists(lab, name), 90)
    assert not wrong, f"predicted devices differ from status.allocation: {wrong}"


def _exists(lab: Lab, name: str) -> bool:
    found = json.loads(lab.kubectl("get", "namespaces", "-o", "json"))["items"]
    return any(item["metadata"]["name"] == name for item in found)
