"""kubectl partita: the fleet as a map, and why a pod is where it is or nowhere."""
