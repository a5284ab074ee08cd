"""How rounds of a throughput benchmark become a row, and the extender that answers at once."""

from __future__ import annotations

import json
import socket
import threading

from hack.benchmarks.instant import serve
from hack.benchmarks.scheduling import Bound
from hack.benchmarks.throughput import order, summary


def test_a_row_has_the_median_and_the_spread_and_its_ratio_is_round_by_round() -> None:
    """The machine became half as fast in the last round: that is no difference between the two."""
    rounds = {
        "none": [Bound(pods_per_second=rate) for rate in (100.0, 110.0, 50.0)],
        "partita": [Bound(pods_per_second=rate, extender_cpu_ms=rate / 100) for rate in (90.0, 88.0, 45.0)],
    }
    none, partita = summary(rounds, nodes=7, claim="gpu")
    assert (none["bench"], none["nodes"], none["claim"], none["extender"]) == ("throughput", 7, "gpu", "none")
    assert [none[f"pods_per_second{end}"] for end in ("", "_least", "_most")] == [100, 50, 110]
    assert [none[f"ratio{end}"] for end in ("", "_least", "_most")] == [1, 1, 1]
    assert none["extender_cpu_ms"] is None
    assert [partita[f"ratio{end}"] for end in ("", "_least", "_most")] == [0.9, 0.8, 0.9]
    assert (partita["extender_cpu_ms"], partita["repeats"]) == (0.88, 3)


def test_nobody_is_always_measured_first() -> None:
    assert [order(["none", "noop"], number)[0] for number in range(3)] == ["none", "noop", "none"]


def test_the_floor_gives_names_back_as_they_came_and_prefers_none() -> None:
    here, there = socket.socketpair()
    thread = threading.Thread(target=serve, args=(there,))
    thread.start()
    body = b'{"Pod":{"metadata":{"name":"\\"NodeNames\\":"}},"Nodes":null,"NodeNames":["a","b"]}'
    here.settimeout(5)
    with there, here:
        all_names = {"NodeNames": ["a", "b"]}
        for verb, told in ((b"filter", all_names), (b"choose", all_names), (b"prioritize", [])):
            head = b"POST /%b HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % (verb, len(body))
            for part in (head, body[:9], body[9:]):
                here.sendall(part)
            answer = here.recv(1000)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert json.loads(answer.partition(b"\r\n\r\n")[2]) == told
        here.shutdown(socket.SHUT_WR)
        thread.join(5)
        assert not thread.is_alive()
