"""hack/bench validate: what a validation finds of planted faults, beside what the field does to find them."""
