"""An API server, its client, and objects to put into it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client, config

from partita_plugins.testing.apiserver import ApiServer


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as running:
        yield running


@pytest.fixture
def api_client(server: ApiServer, tmp_path: Path) -> Iterator[client.ApiClient]:
    path = server.write_kubeconfig(tmp_path / "kubeconfig")
    with config.new_client_from_config(str(path)) as made:  # type: ignore[no-untyped-call]
        yield made


@pytest.fixture
def core(api_client: client.ApiClient) -> client.CoreV1Api:
    return client.CoreV1Api(api_client)


@pytest.fixture
def dra(api_client: client.ApiClient) -> client.ResourceV1Api:
    return client.ResourceV1Api(api_client)


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder with a short name: sockets live below it."""
    with tempfile.TemporaryDirectory(prefix="p") as name:
        yield Path(name)
