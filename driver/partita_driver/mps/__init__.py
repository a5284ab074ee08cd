"""MPS daemons: one for each claim that asks for it, as a pod that outlives the driver."""
