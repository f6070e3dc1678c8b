"""Tracks → shards: the plan, the Beam pipeline that builds each shard, and the metadata of the finished data set."""
