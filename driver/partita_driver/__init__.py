"""The DRA driver: a kubelet plugin that makes, proves and hands out partitions.

Dependencies point downwards (pyproject.toml holds them):

main.py      the command line: run, devices, doctor, cleanup (cleanup.py: what uninstalling removes)
app.py       one node's driver from its start to its end
running/     what runs while the driver serves, and how one instance gives way to the next
binding/     validation before the bind
api/         what the driver has of the API server, and tells there
doctor/      what is on a node and in the way, and who else uses its GPUs
engine/      claims on this node: made, validated, handed out, undone; node_engine.py puts it together
opening/     what a driver is started with, and what it opens for that
hardware/    calls to the GPUs, each with a deadline
journal/     what is written down before anything is done
mps/         MPS daemons as pods
cdi/         what a container is given
kubelet/     the kubelet's sockets
settings/    what the cluster's ConfigMap lets this node offer
slices/      what is published
health/      faults, and what ends a quarantine
"""
