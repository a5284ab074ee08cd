"""Device backends: the GPUs of one node behind one port."""
