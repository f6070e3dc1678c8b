"""Trees of files: to a bucket, from a bucket, or between buckets; only what differs is copied."""
