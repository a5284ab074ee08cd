"""`python -m hack.demo`: what Partita does, in under a minute, with Python alone."""

from __future__ import annotations

import argparse
import faulthandler
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from hack.demo.cluster import Cluster
from hack.demo.report import show_failure
from hack.demo.show import Screen
from hack.demo.summary import Summary
from hack.demo.trouble import Trouble

from partita_plugins.wire.learn import learn_types

INTERRUPTED = 130
ENDING = (signal.SIGTERM, signal.SIGHUP)
DESCRIPTION = """\
Partita on an embedded cluster: three simulated machines, the real driver and extender as processes of their own.
Nothing but Python is needed: no root, no cluster, no GPU. It ends by itself and leaves nothing behind.

Everything shown is checked; the exit code is 0 only if all of it came true.
"""
EPILOG = """\
environment:
  DEMO_JSON=FILE   write the summary there as JSON: placements, refusals, the fault, all checks
  NO_COLOR=1       no colours
"""


def main() -> int:
    options = _options()
    faulthandler.enable(file=2)  # standard error itself: sys.stderr may be a stand-in without a descriptor
    learn_types()
    for number in ENDING:
        signal.signal(number, _end)
    screen, summary = Screen(), Summary()
    screen.title("Partita hands each pod a piece of a GPU that has just been proven to compute.")
    cluster = Cluster()
    code = 1
    try:
        _tell(Trouble(cluster, screen, summary), keep=options.keep)
    except KeyboardInterrupt:
        screen.line()
        screen.line("interrupted; everything that was started is being ended", "yellow")
        code = INTERRUPTED
    except Exception as error:  # noqa: BLE001 - whatever it is, the logs are shown and everything is ended
        show_failure(screen, list(cluster.processes.values()), error)
    finally:
        _close(cluster, summary)
    summary.seconds = screen.seconds
    if code != INTERRUPTED:
        screen.step("Summary")
        summary.show(screen)
    if path := os.environ.get("DEMO_JSON"):
        summary.write(Path(path))
    return 0 if summary.ok else code


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m hack.demo",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--keep", action="store_true", help="before it cleans up, wait for Enter: look around meanwhile"
    )
    return parser.parse_args()


def _tell(story: Trouble, *, keep: bool) -> None:
    story.tell()
    story.tell_more()
    if keep:
        _wait_for_enter(story)
    story.clean_up()
    story.summary.finished = True


def _wait_for_enter(story: Trouble) -> None:
    screen = story.screen
    screen.step("Look around; Enter ends the demo")
    screen.command(f"export KUBECONFIG={story.cluster.kubeconfig}")
    screen.command(f"{Path(sys.executable).parent / 'kubectl-partita'} map")
    screen.command("kubectl get pods,resourceclaims,resourceslices,events")
    sys.stdin.readline()


def _close(cluster: Cluster, summary: Summary) -> None:
    """End everything; a second Ctrl-C does not stop that."""
    for number in (signal.SIGINT, *ENDING):
        signal.signal(number, signal.SIG_IGN)
    left = cluster.close()
    summary.checks.expect("all processes ended when asked; no socket, no file is left", *left)


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
