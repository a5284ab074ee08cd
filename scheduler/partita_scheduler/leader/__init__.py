"""Which replica answers: the Lease, who holds it, and how it is handed over."""
