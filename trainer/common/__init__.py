"""What every folder uses: file access, SIGTERM, Markdown, drawing."""
