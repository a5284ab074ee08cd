"""GPUs, MIG profiles, topology and devices as pure values: no I/O, no clock."""
