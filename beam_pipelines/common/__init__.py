"""What every folder uses: errors, checks of settings, progress, terminal output, and file access."""
