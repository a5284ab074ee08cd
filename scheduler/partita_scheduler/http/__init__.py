"""The listening side of the extender: addresses, mutual TLS, connections, and the server that bounds them all."""
