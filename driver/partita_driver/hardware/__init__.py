"""The device backend behind deadlines: calls, steps that are done and undone, slots."""
