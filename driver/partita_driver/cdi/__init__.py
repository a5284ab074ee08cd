"""CDI files: one for each claim, checked before it is handed out."""
