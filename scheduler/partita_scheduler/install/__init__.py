"""What an installer is given: certificates, and the stanza for kube-scheduler's configuration."""
