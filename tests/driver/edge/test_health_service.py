"""DRAResourceHealth, both versions: the complete list, when it has to come, and what it says of each device."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from partita_driver.api.offering import device_health
from partita_driver.kubelet.health_service import MAX_STREAMS, TIMEOUT_SECONDS, DeviceHealth, HealthService
from partita_driver.slices.pool import Published, desired_pool
from partita_plugins.kubelet_api import health_v1_pb2, health_v1alpha1_pb2
from partita_plugins.model.health import HealthState
from partita_plugins.model.offer import Offer
from tests.driver.edge.worlds import MIXED, fault_on, inputs_of, slotted, without_gpu
from tests.waiting import WAIT_SECONDS

H100 = slotted("hgx-h100")
WELL = DeviceHealth(pool="p", device="gpu-0", state=HealthState.HEALTHY)
ILL = replace(WELL, state=HealthState.UNHEALTHY, message="bit 7 reads 1")
Connect = Callable[[], Any]

pytestmark = pytest.mark.parametrize(
    ("version", "messages"), [("v1", health_v1_pb2), ("v1alpha1", health_v1alpha1_pb2)], ids=["v1", "v1alpha1"]
)


@contextmanager
def streams(directory: Path, health: HealthService, version: str, messages: Any) -> Iterator[Connect]:
    """Opens streams as the kubelet does."""
    server = grpc.server(ThreadPoolExecutor(MAX_STREAMS + 1), handlers=health.handlers())
    server.add_insecure_port(f"unix:{directory}/dra.sock")
    server.start()
    with grpc.insecure_channel(f"unix:{directory}/dra.sock") as channel:
        yield lambda: channel.unary_stream(
            f"/{version}.DRAResourceHealth/NodeWatchResources",
            request_serializer=messages.NodeWatchResourcesRequest.SerializeToString,
            response_deserializer=messages.NodeWatchResourcesResponse.FromString,
        )(messages.NodeWatchResourcesRequest(), timeout=WAIT_SECONDS)
        health.stop()
    server.stop(None).wait()


def test_the_complete_list_comes_on_connect_and_on_every_change(short_path: Path, version: str, messages: Any) -> None:
    other = replace(WELL, device="gpu-1")
    health = HealthService()
    health.update([WELL, other])
    with streams(short_path, health, version, messages) as connect:
        stream = connect()
        first = next(stream).devices
        assert [(one.device.device_name, one.health) for one in first] == [
            ("gpu-0", messages.HEALTHY),
            ("gpu-1", messages.HEALTHY),
        ]
        assert {one.health_check_timeout_seconds for one in first} == {TIMEOUT_SECONDS}
        health.update([ILL, other])
        second = next(stream).devices
        assert [(one.health, one.message) for one in second] == [
            (messages.UNHEALTHY, "bit 7 reads 1"),
            (messages.HEALTHY, ""),
        ]
        assert [one.health for one in next(connect()).devices] == [messages.UNHEALTHY, messages.HEALTHY]


def test_it_comes_again_before_the_kubelet_forgets(short_path: Path, version: str, messages: Any) -> None:
    assert HealthService()._resend_seconds < TIMEOUT_SECONDS / 2
    health = HealthService(resend_seconds=0.05)
    health.update([WELL])
    with streams(short_path, health, version, messages) as connect:
        stream, began = connect(), time.time()
        seen = [next(stream).devices[0] for _ in range(3)]
        assert [one.device.device_name for one in seen] == ["gpu-0"] * 3
        assert all(one.last_updated_time >= int(began) for one in seen)


def test_a_message_never_exceeds_what_the_kubelet_takes(short_path: Path, version: str, messages: Any) -> None:
    health = HealthService()
    health.update([replace(ILL, message="ä" * 2000)])
    with streams(short_path, health, version, messages) as connect:
        assert next(connect()).devices[0].message == "ä" * 512


def test_tainted_is_unhealthy_and_lost_is_unknown(short_path: Path, version: str, messages: Any) -> None:
    offer = Offer(whole=True, group_sizes=frozenset({2}))
    names = [
        device.name
        for content in desired_pool(inputs_of(H100, offer), Published(), frozenset())
        for device in content.devices
    ]
    whole = {slot: f"gpu-{gpu.pci_label}" for slot, gpu in H100.gpus.items()}
    node = without_gpu(without_gpu(H100, 1), 2)
    health = HealthService()
    health.update(device_health(inputs_of(node, MIXED, fault_on(H100, 0), fault_on(H100, 1, reason="gpu-lost")), names))
    with streams(short_path, health, version, messages) as connect:
        found = {one.device.device_name: one for one in next(connect()).devices}
    assert found.keys() == set(names)
    assert (found[whole[0]].health, found[whole[0]].message) == (messages.UNHEALTHY, "bit 7 of word 0x10 reads 1")
    assert [found[whole[slot]].health for slot in (1, 2, 3)] == [messages.UNKNOWN, messages.UNKNOWN, messages.HEALTHY]
    assert found[whole[2]].message
    assert found["group-2-0-1"].health == messages.UNKNOWN
    assert found["group-2-6-7"].health == messages.HEALTHY


def test_a_stream_waits_for_the_first_list_without_looking_all_the_time(
    short_path: Path, version: str, messages: Any
) -> None:
    health = HealthService(resend_seconds=0.2)
    looks = _Looks(health)
    with streams(short_path, health, version, messages) as connect:
        stream = connect()
        assert looks.enough.wait(WAIT_SECONDS)
        assert min(looks.waited) >= 0.2
        health.update([WELL])
        assert len(next(stream).devices) == 1


class _Looks:
    """Counts how long a service waits between two looks at its list."""

    def __init__(self, health: HealthService) -> None:
        self.waited: list[float] = []
        self.enough = threading.Event()
        wait = health._changed.wait

        def counted(timeout: float | None = None) -> bool:
            self.waited.append(timeout or 0.0)
            if len(self.waited) == 3:
                self.enough.set()
            return wait(timeout)

        health._changed.wait = counted  # type: ignore[method-assign]
