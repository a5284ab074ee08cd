"""How devices are handed out: one strategy a module, found by entry point, none knowing another.

contracts.STRATEGY_OF_KIND says which name handles which kind of device.
"""
