"""Runs → one table of their scores."""
