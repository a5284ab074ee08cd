"""The proof that devices compute: how a claim's are looked at, and the claims of the driver's own for it."""
