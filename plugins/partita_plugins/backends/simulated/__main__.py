"""python -m partita_plugins.backends.simulated"""

from __future__ import annotations

from partita_plugins.backends.simulated.cli import main

main(prog_name="python -m partita_plugins.backends.simulated")
