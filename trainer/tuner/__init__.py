"""The search for good settings: spaces, trials, and a search that resumes when any of its machines is lost."""
