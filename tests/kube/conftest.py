"""A real HTTP server that answers as the API server does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from partita_plugins.kube.api import KubeApi
from partita_plugins.testing.apiserver.server import ApiServer


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as server:
        yield server


@pytest.fixture
def api(server: ApiServer, tmp_path: Path) -> KubeApi:
    return KubeApi.connect(str(server.write_kubeconfig(tmp_path / "kubeconfig")))
