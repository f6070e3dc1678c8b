"""Predicted genres → the tags of music files, and back."""
