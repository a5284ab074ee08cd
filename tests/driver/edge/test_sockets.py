"""Where the kubelet finds the driver: sockets that are made, replaced and taken away."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from partita_driver.kubelet.sockets import MAX_SOCKET_PATH_BYTES, remove_socket, socket_paths
from partita_plugins.errors import InvalidInput, Permanent
from tests.driver.edge.served import DRIVER, Granted, served
from tests.waiting import WAIT_SECONDS


def test_stop_takes_the_sockets_away_and_lets_work_finish(short_path: Path) -> None:
    with served(short_path) as world:
        begun, done = threading.Event(), []

        def work() -> tuple[Granted, ...]:
            begun.set()
            time.sleep(0.3)
            return ()

        world.handler.works = {"a": work}
        caller = threading.Thread(target=lambda: done.append(world.prepare("a").claims["uid-a"].error))
        caller.start()
        assert begun.wait(WAIT_SECONDS)
        world.server.stop(WAIT_SECONDS)
        caller.join()
        assert done == [""]
        assert not world.sockets.plugin.exists()
        assert not world.sockets.registrar.exists()


def test_a_stale_socket_is_replaced(short_path: Path) -> None:
    sockets = socket_paths(DRIVER, short_path / "registry", short_path / "plugin")
    sockets.plugin.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(sockets.plugin))
    with served(short_path) as world:
        assert world.prepare("a").claims["uid-a"].error == ""


def test_only_sockets_are_removed(short_path: Path) -> None:
    precious = short_path / "dra.sock"
    precious.write_text("not a socket")
    remove_socket(precious)
    assert precious.exists()


def test_a_place_that_cannot_hold_a_socket_is_an_error_with_advice(short_path: Path) -> None:
    (short_path / "registry").write_text("a file")
    with pytest.raises(Permanent, match="cannot make the socket"), served(short_path):
        pass


@pytest.mark.parametrize(
    ("registry", "pod_uid", "registrar", "plugin"),
    [
        ("/r", "", "gpu.partita.dev-reg.sock", "dra.sock"),
        ("/r", "u" * 36, f"gpu.partita.dev-{'u' * 36}-reg.sock", f"dra-{'u' * 36}.sock"),
        ("/" + "r" * 50, "u" * 36, "gpu.partita.dev-MBG1E1jRqZc-reg.sock", f"dra-{'u' * 36}.sock"),
        ("/" + "r" * 70, "u" * 36, "dra-", f"dra-{'u' * 36}.sock"),
    ],
)
def test_socket_names_fit_the_kernel_s_limit(registry: str, pod_uid: str, registrar: str, plugin: str) -> None:
    found = socket_paths(DRIVER, Path(registry), Path("/p"), pod_uid)
    assert found.registrar.name.startswith(registrar[:16])
    assert found.registrar.name.endswith("-reg.sock")
    assert found.plugin.name == plugin
    assert len(str(found.registrar).encode()) <= MAX_SOCKET_PATH_BYTES


def test_a_socket_of_the_greatest_length_is_served(short_path: Path) -> None:
    room = MAX_SOCKET_PATH_BYTES - len(str(short_path / "dra.sock")) - 1
    with served(short_path, plugin="p" * room) as world:
        assert len(str(world.sockets.plugin)) == MAX_SOCKET_PATH_BYTES
        assert world.prepare("a").claims["uid-a"].error == ""


def test_a_directory_too_deep_for_any_socket_is_refused() -> None:
    with pytest.raises(InvalidInput, match="107 bytes"):
        socket_paths(DRIVER, Path("/" + "r" * 90), Path("/p"), "u" * 36)
