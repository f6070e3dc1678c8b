"""Scores of segments → metrics with intervals at the levels of segments and tracks."""
