"""The public fakes, held to the contracts that real programs lean on."""
