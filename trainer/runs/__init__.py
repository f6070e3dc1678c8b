"""A run directory: its settings, checkpoints, metrics and the model restored from it."""
