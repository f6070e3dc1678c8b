"""What every folder uses: errors, checks of settings, progress, terminal output, signals, and file access."""
