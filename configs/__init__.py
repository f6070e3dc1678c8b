"""The command line: the words after `beamtune` go in, checked settings and a started command come out."""
