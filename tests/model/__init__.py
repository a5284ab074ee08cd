"""The vocabulary: geometry, counters, topology, names and quantities, as properties and against other sources."""
