"""Published data sets: fetched over HTTP with resuming and a checksum, and unpacked with care. Local files only."""
