"""The node's ResourceSlices: what should be published, what that takes, and one writer that keeps it so."""
