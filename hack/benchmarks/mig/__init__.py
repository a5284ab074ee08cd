"""How many partitions a fleet of MIG machines can take, as pods come and go."""
