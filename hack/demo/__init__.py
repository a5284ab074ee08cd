"""The demo: what Partita does, shown in under a minute by Python alone. `python -m hack.demo --help` says more."""
