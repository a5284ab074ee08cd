"""What the scheduler and the driver both speak, and what may be swapped."""
