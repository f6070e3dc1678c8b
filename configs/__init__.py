"""The command line: Hydra configuration groups (the YAML files here) and what turns them into runs."""
