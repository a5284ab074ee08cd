"""The machine that a node simulates comes from its label unless the command line names one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from partita_driver.opening.options import Options
from partita_driver.opening.simulated_machine import MACHINE_LABEL, with_machine
from partita_plugins.errors import InvalidInput
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.errors import NotFound
from tests.driver.edge.worlds import api_server

SIMULATED = Options(node_name="node-a", backend="simulated")


@pytest.fixture
def api(tmp_path: Path) -> Iterator[KubeApi]:
    with api_server(tmp_path) as (server, client):
        for name, labels in {"node-a": {MACHINE_LABEL: "a30-x4"}, "node-b": {}}.items():
            server.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})
        yield client


def test_the_label_names_the_machine(api: KubeApi) -> None:
    assert with_machine(SIMULATED, api).machine == "a30-x4"


def test_the_command_line_wins_and_real_gpus_are_never_asked(api: KubeApi) -> None:
    named = Options(node_name="node-a", backend="simulated", machine="hgx-h100")
    real = Options(node_name="nobody", backend="nvml")
    assert with_machine(named, api) is named
    assert with_machine(real, api) is real


def test_a_node_without_the_label_is_told_how_to_get_one(api: KubeApi) -> None:
    with pytest.raises(InvalidInput, match=f"kubectl label node node-b {MACHINE_LABEL}="):
        with_machine(Options(node_name="node-b", backend="simulated"), api)


def test_a_node_that_does_not_exist_is_not_a_machine(api: KubeApi) -> None:
    with pytest.raises(NotFound):
        with_machine(Options(node_name="node-x", backend="simulated"), api)
