"""Many files, folders, playlists and tables in; one table of predictions out, which an interruption does not lose."""
