"""Selectors in CEL, as DeviceClasses and requests use them: what they read, and whether they take a device."""
