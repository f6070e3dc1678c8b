"""The command line: the words after `beamtune` → checked settings, with which a command runs."""
