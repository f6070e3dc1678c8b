"""A run and data, or audio files → metrics or predictions."""
