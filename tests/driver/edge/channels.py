"""gRPC over the sockets of a driver that is just starting."""

from __future__ import annotations

from pathlib import Path

import grpc

from tests.waiting import WAIT_SECONDS, until


def connected(path: Path) -> grpc.Channel:
    """To this socket, once somebody listens there: slices are published before."""
    until(path.exists)
    channel = grpc.insecure_channel(f"unix:{path}")
    grpc.channel_ready_future(channel).result(WAIT_SECONDS)
    return channel
