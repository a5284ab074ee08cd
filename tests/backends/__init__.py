"""Device backends: the contract over every machine, and what only simulated hardware can show."""
