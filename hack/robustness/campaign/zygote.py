"""Forks driver processes that have everything imported: a life begins in milliseconds, and is a process of its own.

The zygote itself is forked before the campaign has threads, and never has any.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from hack.robustness.campaign.folders import Folders
from hack.robustness.campaign.life import Life, live

START_SECONDS = 60.0


class _Began(msgspec.Struct, frozen=True, tag="began"):
    root: str
    pid: int


class _Ended(msgspec.Struct, frozen=True, tag="ended"):
    pid: int
    status: int


@dataclass
class Process:
    """A life that was begun."""

    pid: int
    ended: threading.Event = field(default_factory=threading.Event)
    status: int = 0

    @property
    def killed(self) -> bool:
        """Whether SIGKILL ended it."""
        return self.ended.is_set() and os.WIFSIGNALED(self.status) and os.WTERMSIG(self.status) == signal.SIGKILL

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if not self.ended.is_set():
            os.kill(self.pid, signal.SIGKILL)
            self.ended.wait(START_SECONDS)


class Zygote:
    """Begins lives. Thread-safe; to be made before there are threads."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            _exit_after(lambda: _serve(theirs))
        theirs.close()
        self._socket = ours
        self._lock = threading.Lock()
        self._begun = threading.Condition()
        self._processes: dict[int, Process] = {}
        self._pids: dict[str, int] = {}

    def start(self) -> None:
        """Hear of what ends, from now on in a thread."""
        threading.Thread(target=self._listen, name="zygote", daemon=True).start()

    def begin(self, life: Life) -> Process:
        """A new process. Raises TimeoutError where the zygote does not answer."""
        with self._begun:
            self._pids.pop(life.root, None)
        with self._lock:
            self._socket.sendall(msgspec.json.encode(life) + b"\n")
        with self._begun:
            if not self._begun.wait_for(lambda: life.root in self._pids, START_SECONDS):
                raise TimeoutError("the zygote does not answer")
            return self._processes[self._pids[life.root]]

    def stop(self) -> None:
        """End the zygote and every process that it began."""
        if self.pid:
            self._socket.shutdown(socket.SHUT_RDWR)
            os.waitpid(self.pid, 0)
            self.pid = 0

    def _listen(self) -> None:
        with self._socket.makefile("rb") as lines:
            for line in lines:
                self._hear(msgspec.json.decode(line, type=_Began | _Ended))

    def _hear(self, news: _Began | _Ended) -> None:
        with self._begun:
            if isinstance(news, _Began):
                self._processes[news.pid] = Process(news.pid)
                self._pids[news.root] = news.pid
            else:
                process = self._processes.pop(news.pid)
                process.status = news.status
                process.ended.set()
            self._begun.notify_all()


def _serve(campaign: socket.socket) -> None:
    """Fork a process for each line, and tell of each that ends, until the campaign hangs up."""
    gc.freeze()
    woken, wake = os.pipe()
    for descriptor in (woken, wake):
        os.set_blocking(descriptor, False)
    signal.signal(signal.SIGCHLD, lambda _signal, _frame: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.set_wakeup_fd(wake)
    living: set[int] = set()
    rest = b""
    while True:
        readable, _, _ = select.select((campaign.fileno(), woken), (), ())
        if woken in readable:
            os.read(woken, 4096)
            _tell_ended(campaign, living)
        if campaign.fileno() in readable:
            data = campaign.recv(1 << 16)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                _fork(campaign, msgspec.json.decode(line, type=Life), living)
    for pid in living:
        os.kill(pid, signal.SIGKILL)


def _fork(campaign: socket.socket, life: Life, living: set[int]) -> None:
    pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        campaign.close()
        _exit_after(lambda: _live(life))
    living.add(pid)
    campaign.sendall(msgspec.json.encode(_Began(life.root, pid)) + b"\n")


def _live(life: Life) -> None:
    os.setsid()
    log = os.open(Folders(Path(life.root)).log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    live(life)


def _tell_ended(campaign: socket.socket, living: set[int]) -> None:
    while living:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        living.discard(pid)
        campaign.sendall(msgspec.json.encode(_Ended(pid, status)) + b"\n")


def _exit_after(act: Callable[[], None]) -> None:
    """Run and leave at once: nothing of the parent's is cleaned up here."""
    code = 1
    try:
        act()
        code = 0
    except BaseException:  # noqa: BLE001 - the process ends here, with its reason in the log
        traceback.print_exc()
    finally:
        os._exit(code)
