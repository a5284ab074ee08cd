"""Types are learned before there are threads."""

from __future__ import annotations

import partita_driver.app
import partita_scheduler.app
from partita_plugins.wire.learn import learn_types

PARTS = (partita_driver.app, partita_scheduler.app)


def test_every_type_of_both_processes_is_learned() -> None:
    assert learn_types() > 100
    assert learn_types() == learn_types()
