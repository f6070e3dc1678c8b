"""`beamtune compare`: several runs in one table."""
