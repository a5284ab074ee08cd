"""The pretended kubelet against a driver double, over real sockets."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from partita_plugins.testing.apiserver import LocalApi
from partita_plugins.testing.kubelet import Kubelet, KubeletSettings
from partita_plugins.testing.scheduling import reserve_claim
from tests.testing import objects
from tests.testing.driver_double import DriverDouble
from tests.waiting import until


@pytest.fixture
def api() -> LocalApi:
    found = LocalApi()
    found.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})
    found.create(objects.claim("c"))
    return found


@pytest.fixture
def settings(root: Path) -> KubeletSettings:
    return KubeletSettings(
        node_name="n1", root=root, retry_seconds=0.05, wipe_seconds=0.2, poll_seconds=0.02, health_retry_seconds=0.1
    )


@pytest.fixture
def kubelet(api: LocalApi, settings: KubeletSettings) -> Iterator[Kubelet]:
    with Kubelet(api, settings) as running:
        yield running


@pytest.fixture
def driver(kubelet: Kubelet) -> Iterator[DriverDouble]:
    double = DriverDouble(kubelet.settings.root).start()
    until(lambda: kubelet.drivers)
    yield double
    double.stop()


def place(api: LocalApi, name: str, *, claim: str = "c") -> str:
    """A pod with an allocated and reserved claim, on the node; the claim's uid comes back."""
    pod = api.create(objects.pod(name, claims={"gpu": claim}))
    found = reserve_claim(api, api.get("ResourceClaim", claim), pod, objects.allocation())
    api.bind(pod, "n1")
    return str(found["metadata"]["uid"])


def phase(api: LocalApi, name: str) -> str:
    return str(api.get("Pod", name)["status"]["phase"])


def is_gone(api: LocalApi, name: str) -> bool:
    return all(pod["metadata"]["name"] != name for pod in api.list("Pod"))


def test_the_node_joins_and_is_ready(kubelet: Kubelet, api: LocalApi) -> None:
    assert api.get("Node", kubelet.settings.node_name)["status"]["conditions"][0]["status"] == "True"


def test_slices_from_before_are_wiped_at_the_start(api: LocalApi, settings: KubeletSettings) -> None:
    for node in ("n1", "n2"):
        api.create(objects.resource_slice(node, node))
    with Kubelet(api, settings):
        assert [found["metadata"]["name"] for found in api.list("ResourceSlice")] == ["n2"]


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_a_pod_gets_what_its_claim_brings(kubelet: Kubelet, api: LocalApi, version: str) -> None:
    double = DriverDouble(kubelet.settings.root, version=version).start()
    try:
        uid = place(api, "p")
        until(lambda: phase(api, "p") == "Running")
        view = kubelet.views("p")["main"]
        assert (view.env["CLAIM"], [node.path for node in view.device_nodes]) == (uid, ["/dev/gpu0"])
        assert double.registered == [True]
    finally:
        double.stop()


def test_what_containers_see_is_known_as_soon_as_their_pod_runs(
    kubelet: Kubelet, driver: DriverDouble, api: LocalApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch, seen = api.patch, list[set[str]]()

    def told(kind: str, name: str, *args: Any, **options: Any) -> Any:
        patched = patch(kind, name, *args, **options)
        if kind == "Pod" and phase(api, name) == "Running":
            seen.append(set(kubelet.views(name)))
        return patched

    monkeypatch.setattr(api, "patch", told)
    place(api, "p")
    until(lambda: seen)
    assert seen == [{"main"}]


def test_a_container_gets_only_the_claims_it_lists(kubelet: Kubelet, driver: DriverDouble, api: LocalApi) -> None:
    body = objects.pod("p", claims={"gpu": "c"}, node="n1")
    body["spec"]["containers"].append({"name": "side", "image": "busybox"})
    reserve_claim(api, api.get("ResourceClaim", "c"), api.create(body), objects.allocation())
    until(lambda: phase(api, "p") == "Running")
    views = kubelet.views("p")
    assert (len(views["main"].device_nodes), len(views["side"].device_nodes)) == (1, 0)


def test_a_refused_claim_is_said_and_tried_again(kubelet: Kubelet, driver: DriverDouble, api: LocalApi) -> None:
    driver.refuse_prepare = "GPU 3 failed validation"
    place(api, "p")
    until(lambda: len(driver.asked("prepare")) >= 2)
    (event,) = api.list("Event", field_selector="reason=FailedPrepareDynamicResources")
    assert "GPU 3 failed validation" in event["message"]
    assert phase(api, "p") == "Pending"
    driver.refuse_prepare = ""
    until(lambda: phase(api, "p") == "Running")


def test_a_skipped_claim_is_an_error(kubelet: Kubelet, driver: DriverDouble, api: LocalApi) -> None:
    driver.skip = True
    place(api, "p")
    until(lambda: "FailedPrepareDynamicResources" in [event["reason"] for event in api.list("Event")])


def test_a_pod_without_a_reservation_does_not_start(kubelet: Kubelet, driver: DriverDouble, api: LocalApi) -> None:
    api.create(objects.pod("p", claims={"gpu": "c"}, node="n1"))
    until(lambda: any("is not allowed to use" in event["message"] for event in api.list("Event")))
    assert driver.calls == []


def test_two_pods_on_one_claim_are_prepared_once_and_released_last(
    kubelet: Kubelet, driver: DriverDouble, api: LocalApi
) -> None:
    uid = place(api, "a")
    place(api, "b")
    until(lambda: phase(api, "a") == phase(api, "b") == "Running")
    api.delete("Pod", "a")
    until(lambda: is_gone(api, "a"))
    assert driver.asked("unprepare") == []
    api.delete("Pod", "b")
    until(lambda: is_gone(api, "b"))
    assert (driver.asked("prepare"), driver.asked("unprepare")) == ([uid], [uid])


def test_a_pod_stays_until_its_claim_is_given_back(kubelet: Kubelet, driver: DriverDouble, api: LocalApi) -> None:
    place(api, "p")
    until(lambda: phase(api, "p") == "Running")
    driver.refuse_unprepare = "busy"
    api.delete("Pod", "p")
    until(lambda: len(driver.asked("unprepare")) >= 2)
    assert not is_gone(api, "p")
    driver.refuse_unprepare = ""
    until(lambda: is_gone(api, "p"))


def test_a_finished_pod_gives_its_claim_back(kubelet: Kubelet, driver: DriverDouble, api: LocalApi) -> None:
    place(api, "p")
    until(lambda: phase(api, "p") == "Running")
    kubelet.finish_pod("p")
    until(lambda: driver.asked("unprepare"))
    assert phase(api, "p") == "Succeeded"


def test_a_restarted_kubelet_replays_prepare_and_leaves_pods_running(
    kubelet: Kubelet, driver: DriverDouble, api: LocalApi
) -> None:
    uid = place(api, "p")
    until(lambda: phase(api, "p") == "Running")
    before = api.get("Pod", "p")
    kubelet.restart()
    until(lambda: driver.asked("prepare") == [uid, uid] and kubelet.views("p"))
    assert api.get("Pod", "p") == before


def test_a_pod_that_went_while_the_kubelet_was_away_is_unprepared(
    kubelet: Kubelet, driver: DriverDouble, api: LocalApi
) -> None:
    uid = place(api, "p")
    until(lambda: phase(api, "p") == "Running")
    kubelet.stop()
    api.delete("Pod", "p", grace_seconds=0)
    with Kubelet(api, kubelet.settings):
        until(lambda: driver.asked("unprepare") == [uid])


def test_slices_are_wiped_when_a_driver_stays_away(api: LocalApi, settings: KubeletSettings) -> None:
    with Kubelet(api, replace(settings, wipe_seconds=1.5)) as kubelet:  # time to look before it is over
        driver = DriverDouble(kubelet.settings.root).start()
        until(lambda: kubelet.drivers)
        api.create(objects.resource_slice("s"))
        driver.stop()
        until(lambda: not kubelet.drivers)
        assert len(api.list("ResourceSlice")) == 1
        until(lambda: len(api.list("ResourceSlice")) == 0)


def test_a_driver_that_comes_back_is_registered_again(kubelet: Kubelet, driver: DriverDouble) -> None:
    driver.stop()
    until(lambda: not kubelet.drivers)
    second = DriverDouble(kubelet.settings.root).start()
    until(lambda: kubelet.drivers and second.registered == [True])
    second.stop()


def test_health_reports_are_seen(kubelet: Kubelet, driver: DriverDouble) -> None:
    until(lambda: kubelet.health)
    (report,) = kubelet.health
    assert (report.device, report.health, report.current(time.monotonic() + 60)) == ("gpu-0", "HEALTHY", "UNKNOWN")


def test_an_unknown_cdi_device_keeps_the_container_from_starting(
    kubelet: Kubelet, driver: DriverDouble, api: LocalApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "write_cdi", str)
    place(api, "p")
    until(lambda: any("unresolvable CDI devices" in event["message"] for event in api.list("Event")))
    assert phase(api, "p") == "Pending"


def test_a_root_too_long_for_sockets_is_refused(api: LocalApi, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="choose a shorter root"):
        Kubelet(api, KubeletSettings(node_name="n1", root=tmp_path / ("x" * 100)))
