"""How the driver is tried: invariants, the fault campaign (hack/chaos) and the simulation (hack/simulate)."""
