"""A small composer that writes a labelled collection of mp3 files: the data set that needs no download."""

from beam_pipelines.synthetic.collection import (
    CollectionSpec,
    SyntheticTrack,
    compose_track,
    plan_collection,
    write_collection,
)
from beam_pipelines.synthetic.genres import GENRES

__all__ = ["GENRES", "CollectionSpec", "SyntheticTrack", "compose_track", "plan_collection", "write_collection"]
