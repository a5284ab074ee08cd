"""What the driver has of the API server, and tells there: slices, claims' status, events, the Node's condition."""
