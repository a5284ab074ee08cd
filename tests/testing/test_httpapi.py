"""The same verbs over HTTP and in the process: a fake that runs on one runs on the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from partita_plugins.testing.apiserver import ApiError, ApiServer
from partita_plugins.testing.httpapi import Access, HttpApi
from partita_plugins.testing.kubeapi import KubeApi
from partita_plugins.testing.kubelet import Kubelet, KubeletSettings
from tests.testing import objects


@pytest.fixture(params=["local", "http"])
def api(request: pytest.FixtureRequest, server: ApiServer, tmp_path: Path) -> Iterator[KubeApi]:
    if request.param == "local":
        yield server
        return
    made = HttpApi(Access.from_kubeconfig(server.write_kubeconfig(tmp_path / "kubeconfig")))
    yield made
    made.close()


def test_objects_are_written_and_read(api: KubeApi) -> None:
    api.create(objects.node("n1", zone="a"))
    api.patch("Node", "n1", {"metadata": {"labels": {"zone": "b"}}})
    (found,) = api.list("Node", label_selector="zone=b")
    api.update({**found, "status": {"phase": "Running"}}, subresource="status")
    assert api.get("Node", "n1")["status"] == {"phase": "Running"}
    with pytest.raises(ApiError, match="modified"):
        api.update(found)
    api.delete_all("Node", field_selector="metadata.name=n1")
    with pytest.raises(ApiError) as missing:
        api.get("Node", "n1")
    assert missing.value.reason == "NotFound"


def test_a_change_ends_the_wait(api: KubeApi, server: ApiServer) -> None:
    listing = api.list("Pod")
    assert not api.wait_for_change("Pod", listing.resource_version, 0.1)
    server.create(objects.pod("p"))
    assert api.wait_for_change("Pod", listing.resource_version, 5.0)


def test_a_pod_runs_and_goes(api: KubeApi, root: Path) -> None:
    kubelet = Kubelet(api, KubeletSettings(node_name="n1", root=root, parallel_pods=0))
    kubelet.join_cluster()
    pod = api.create(objects.pod("p"))
    api.bind(pod, "n1")
    kubelet.step()
    assert api.get("Pod", "p")["status"]["phase"] == "Running"
    api.delete("Pod", "p", uid=pod["metadata"]["uid"])
    kubelet.step()
    assert len(api.list("Pod")) == 0
    kubelet.stop()


def test_a_server_that_is_away_is_an_os_error(server: ApiServer, tmp_path: Path) -> None:
    away = HttpApi(Access.from_kubeconfig(server.write_kubeconfig(tmp_path / "kubeconfig")))
    server.stop()
    with pytest.raises(OSError, match="no answer"):
        away.list("Pod")
