"""Tracks → train, validation and test, with no group and no recording in two of them."""
