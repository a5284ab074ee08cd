"""What the API server fills in and refuses, per resource: the rules that matter to a DRA driver and a scheduler."""
