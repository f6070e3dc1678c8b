"""Prepared features → classical learners and their scores."""
