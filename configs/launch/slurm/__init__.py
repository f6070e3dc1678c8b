"""A command and its settings → a batch script of Slurm that runs it, and `sbatch`, which submits it."""
