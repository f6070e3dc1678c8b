"""GTZAN (Tzanetakis & Cook, 2002): 10 genres of 100 clips of 30 s, which the user must supply.

Two layouts are in use, genres/<genre>/<genre>.00000.au and genres_original/<genre>/<genre>.00000.wav. The
root is any folder that contains one of them at any depth.

The official split is the fault-filtered one of Kereliuk, Sturm & Larsen (2015): no artist is in two splits, and clips
that are duplicates, distorted or mislabelled are left out.
"""

import json
import math
import os
import re
from collections.abc import Mapping
from importlib import resources

from beam_pipelines.common import storage
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.lease import holding
from beam_pipelines.datasets.config import GtzanDatasetConfig
from beam_pipelines.datasets.track import EXCLUDED, Listing, Track
from beam_pipelines.download.check_gtzan import CLIPS_PER_GENRE, GENRES
from beam_pipelines.download.extract import extract_archive
from beam_pipelines.records.schema import TEST, TRAIN, VALIDATION

_CLIP_PATTERN = re.compile(
    rf"(?:^|.*/)(?P<genre>{'|'.join(GENRES)})/(?P<clip>(?P=genre)\.(?P<number>\d{{5}}))\.(?:au|wav)"
)
_PARTITION_FILE = "gtzan_fault_filtered.json"
_SPLIT_NAMES = {"train": TRAIN, "valid": VALIDATION, "test": TEST}
_KNOWN_FAULTS = {"jazz.00054": "it is unreadable in the copy of the data set that is in wide use"}

# The clips have 1.3 GB; the archive in wide use also contains pictures and tables.
_MAX_EXTRACTED_BYTES = 4 * 2**30


def list_tracks(config: GtzanDatasetConfig) -> Listing:
    """Lists the clips with their fault-filtered split, unpacking an archive first.

    The data set does not name artists, so every clip is a group of its own.

    Raises:
        UserError: The root has no clips, or is a damaged archive.
    """
    root = _unpacked(config.root) if os.path.isfile(config.root) else config.root.rstrip("/")
    splits = fault_filtered_splits()
    tracks = []
    for entry in storage.list_source(root).files:
        found = _CLIP_PATTERN.fullmatch(entry.path[len(root) :])
        if found is None:
            continue
        clip = found["clip"]
        tracks.append(
            Track(
                track_id=clip,
                uri=entry.path,
                label=found["genre"],
                group=clip,
                size_bytes=entry.size_bytes,
                split=splits.get(clip, EXCLUDED),
                known_fault=_KNOWN_FAULTS.get(clip),
            )
        )
    if not tracks:
        raise UserError(
            f"dataset.root={config.root} holds no clips of GTZAN: expected <genre>/<genre>.00000.au or .wav in it, "
            "or a .tar.gz or .zip of that; `beamtune download gtzan` explains where to get them"
        )
    return Listing(tracks=tracks, official_split="fault_filtered", notes=_notes(tracks))


def fault_filtered_splits() -> Mapping[str, str]:
    """Returns the split of each clip of the fault-filtered partition, such as "blues.00029": "train"."""
    text = resources.files(__package__).joinpath(_PARTITION_FILE).read_text(encoding="utf-8")
    partition = json.loads(text)["genres"]
    return {
        f"{genre}.{number:05d}": _SPLIT_NAMES[name]
        for genre, parts in partition.items()
        for name, ranges in parts.items()
        for number in _numbers(ranges)
    }


def _numbers(ranges: str) -> list[int]:
    """Parses a list of numbers such as "0,2-4"."""
    numbers: list[int] = []
    for part in ranges.split(","):
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


def _unpacked(archive_path: str) -> str:
    """Returns the folder `<archive>.unpacked`, and unpacks the archive if it does not exist.

    Of several commands that need it at the same time, one unpacks it, and the others wait.
    """
    folder = f"{archive_path}.unpacked"
    if not os.path.isdir(folder):
        parent, name = os.path.split(folder)
        with holding(parent or ".", key="dataset.root", name=f".{name}.lock", wait_s=math.inf):
            if not os.path.isdir(folder):
                extract_archive(archive_path, folder, max_bytes=_MAX_EXTRACTED_BYTES)
    return folder


def _notes(tracks: list[Track]) -> list[str]:
    expected = len(GENRES) * CLIPS_PER_GENRE
    if len(tracks) >= expected:
        return []
    return [
        f"{len(tracks)} of the {expected} clips of GTZAN are present; `beamtune download gtzan` lists the missing ones"
    ]
