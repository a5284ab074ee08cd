"""MPS daemons brought together with the journal: none without its claim, none missing under a pod."""

from __future__ import annotations

import structlog

from partita_driver.engine.tools import Tools
from partita_driver.journal.records import ClaimRecord
from partita_driver.lifecycle import ClaimState
from partita_plugins.errors import PartitaError
from partita_plugins.model.steps import RunMpsDaemon

log = structlog.get_logger(__name__)


def stray_daemons(tools: Tools) -> tuple[str, ...]:
    """Claims of which there is a daemon or a folder without them, and those in use whose daemon may be gone.

    Raises PartitaError while it cannot be known what runs.
    """
    if tools.mps is None:
        return ()
    found = tools.mps.found()
    state = tools.journal.state  # read after the daemons: each is younger than its record
    in_use = {uid for uid, claim in state.claims.items() if _daemon_steps(claim)}
    # While it is not known who owns what, a daemon may be the only word on its claim.
    orphaned = set[str]() if state.unconfirmed else found - state.claims.keys()
    return tuple(sorted(orphaned | in_use))


def mend_daemon(tools: Tools, claim_uid: str) -> None:
    """End a daemon that has no claim, or let one run again. No other call of the claim may run now. Logs what fails."""
    if tools.mps is None:
        return
    claim = tools.journal.state.claims.get(claim_uid)
    try:
        if claim is None:
            tools.mps.stop(claim_uid)
            tools.mps.remove_folders(claim_uid)
            log.info("MPS daemon without a claim removed", claim=claim_uid)
        for step in _daemon_steps(claim) if claim else ():
            if not tools.mps.keep(claim_uid, step):
                log.warning("the MPS daemon of a claim in use does not answer", claim=claim_uid)
    except PartitaError as error:
        log.warning("MPS daemon not mended", claim=claim_uid, error=str(error))


def _daemon_steps(claim: ClaimRecord) -> tuple[RunMpsDaemon, ...]:
    """Of a claim that pods may be using, or are about to."""
    if claim.state is not ClaimState.PREPARED and not claim.ready_ahead:
        return ()
    return tuple(step for device in claim.devices for step in device.steps if isinstance(step, RunMpsDaemon))
