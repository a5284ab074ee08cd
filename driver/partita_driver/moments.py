"""When devices are proven to compute: the settings choose among these, and what is told of a validation names one."""

from __future__ import annotations

from enum import StrEnum


class Moment(StrEnum):
    """What a validation is made for."""

    IDLE = "idle"
    """Nobody has the GPU."""

    PREPARE = "prepare"
    """A container is about to get the device."""

    BIND = "bind"
    """kube-scheduler waits with the binding of a pod."""

    AGAIN = "again"
    """The hardware is quarantined; no setting switches this off."""
