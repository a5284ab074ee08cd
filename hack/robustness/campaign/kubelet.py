"""The kubelet's side: calls over gRPC, and what it believes is prepared. Everything it must repeat is kept here."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from hack.robustness.campaign.folders import Folders
from hack.robustness.observation import HeldDevice, Promise, held_by_name

from partita_plugins.model.gpu import Gpu
from partita_plugins.testing.kubelet.drivers import CallFailed, ClaimRef, Driver, DriverInfo
from partita_plugins.wire import DRIVER_NAME

CALL_SECONDS = 30.0
READY_SECONDS = 60.0
_POLL_SECONDS = 0.005
NOBODY = ClaimRef(namespace="default", name="nobody", uid="00000000-0000-4000-8000-000000000000")
"""A claim that no driver knows: what is answered does not matter, only that it is."""

VERSION = "v1.DRAPlugin"


class NotReady(Exception):
    """The driver did not come up."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call for one claim, and what came of it."""

    verb: str
    claim: ClaimRef
    error: str = ""
    """The driver's refusal, or that nobody answered; empty: it succeeded, or was not made yet."""

    admin: bool = False
    answered: bool = True
    """Also by a refusal."""


class Kubelet:
    """One kubelet. Its memory outlives driver processes."""

    def __init__(self, folders: Folders, gpus: Mapping[int, Gpu], time_slice: str) -> None:
        self._folders, self._gpus, self._time_slice = folders, gpus, time_slice
        self.promises: dict[str, Promise] = {}
        self._claims: dict[str, ClaimRef] = {}
        self._lost: dict[str, Promise] = {}

    def wait_ready(self, ended: Callable[[], bool], end: float) -> None:
        """Until a driver serves: it answers only after reconciling. Raises NotReady."""
        while time.monotonic() < end and not ended():
            if self._listening() and self._call("Unprepare", NOBODY).answered:
                return
            time.sleep(_POLL_SECONDS)
        raise NotReady("the driver ended" if ended() else "no driver answered in time")

    def prepare(self, claim: ClaimRef, *, admin: bool = False) -> Call:
        """Prepare once; what succeeds is remembered as a promise."""
        call, devices = self._prepare(claim, admin=admin)
        if not call.error:
            held = tuple(self._held(name, admin=admin) for name in devices)
            self.promises[claim.uid] = Promise(devices=held, told_at=time.time())
            self._claims[claim.uid] = claim
        return call

    def unprepare(self, claim: ClaimRef) -> Call:
        """Unprepare once. From now on the claim is no promise: its pod is gone."""
        self.promises.pop(claim.uid, None)
        return self._call("Unprepare", claim)

    def forget(self, claim: ClaimRef) -> None:
        """The kubelet knows nothing of the claim any more."""
        self.promises.pop(claim.uid, None)

    def rebooted(self) -> None:
        """The node has rebooted: what was prepared is prepared again when the pods start again."""
        self.promises = {uid: replace(promise, rebooted=True) for uid, promise in self.promises.items()}

    def all_to_be_made_again(self) -> None:
        """Nothing is left on the node by which claims could be found: until their replay there is no promise."""
        self._lost, self.promises = self.promises, {}

    def claims(self) -> list[ClaimRef]:
        """Claims that are prepared."""
        return [self._claims[uid] for uid in self.promises]

    def replay(self) -> list[Call]:
        """As after a restart of the kubelet: Prepare of every promise. The calls that failed."""
        self.promises, self._lost = {**self._lost, **self.promises}, {}
        held = {uid: any(device.admin for device in promise.devices) for uid, promise in self.promises.items()}
        calls = [self.prepare(self._claims[uid], admin=admin) for uid, admin in held.items()]
        return [call for call in calls if call.error]

    def _held(self, name: str, *, admin: bool) -> HeldDevice:
        held = held_by_name(name, self._gpus)
        time_slice = self._time_slice if name.endswith("-shared") else held.time_slice
        return replace(held, admin=admin, time_slice=time_slice)

    def _listening(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(self._socket) == 0

    @property
    def _socket(self) -> str:
        return str(self._folders.plugin / "dra.sock")

    def _prepare(self, claim: ClaimRef, *, admin: bool) -> tuple[Call, tuple[str, ...]]:
        driver = self._driver()
        try:
            answer = driver.prepare([claim])[claim.uid]
        except CallFailed as error:
            return Call("Prepare", claim, str(error), admin, answered=False), ()
        finally:
            driver.close()
        if isinstance(answer, CallFailed):
            return Call("Prepare", claim, str(answer), admin), ()
        return Call("Prepare", claim, admin=admin), tuple(device.device for device in answer)

    def _call(self, verb: str, claim: ClaimRef) -> Call:
        driver = self._driver()
        try:
            error = driver.unprepare([claim])[claim.uid]
        except CallFailed as failed:
            return Call(verb, claim, str(failed), answered=False)
        finally:
            driver.close()
        return Call(verb, claim, str(error or ""))

    def _driver(self) -> Driver:
        info = DriverInfo(name=DRIVER_NAME, type="DRAPlugin", endpoint=self._socket, versions=(VERSION,))
        return Driver(info, CALL_SECONDS)
