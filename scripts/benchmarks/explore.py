"""Duration and memory of `beamtune explore` on an artificial data set of the size of FMA small.

    scripts/bench explore --json docs/benchmarks/explore.json     # then: scripts/bench tables
    scripts/bench explore --tracks 800

The 8,000 tracks of the first command take 2 GB in the temporary folder, and are deleted at the end.
"""

import argparse
import resource
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import soundfile
import yaml
from figures.model_tables import explore_table
from figures.record import describe_run, json_file, write_json

from beam_pipelines.audio.config import AudioConfig, SegmentConfig
from beam_pipelines.common.python_process import python_command
from beam_pipelines.features.config import LogMelConfig
from beam_pipelines.records import schema
from beam_pipelines.records.example import encode_example
from beam_pipelines.records.json_lines import TrackRecord, json_lines
from beam_pipelines.records.tfrecord import write_record
from beam_pipelines.splits.config import DuplicatesConfig

PACKAGES = ("tensorflow", "keras", "numpy")
NAME = "made_up"
SHAPE = (94, 128)
SEGMENTS_PER_TRACK = 10
SEGMENT_S = 3.0
SPLIT_SHARES = {schema.TRAIN: 0.7, schema.VALIDATION: 0.15, schema.TEST: 0.15}
TRACKS_PER_SHARD = 500
TRACKS_PER_GROUP = 5
# The number of different spectrograms: generating all of them would take longer than reading them.
NUM_SPECTROGRAMS = 256


def main() -> None:
    """Writes the data set, runs `beamtune explore` in a child process, prints its cost, optionally to a file."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench explore", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tracks", type=int, default=8000, help="tracks in the data set, of 30 s each")
    parser.add_argument("--genres", type=int, default=8, help="genres in the data set")
    parser.add_argument("--dir", type=Path, help="where to write it; the default is the temporary folder")
    parser.add_argument("--json", type=json_file, help="write the figures to this file too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.dir) as folder:
        data_dir = Path(folder) / "data"
        write_data_set(data_dir, num_tracks=arguments.tracks, genres=[f"genre {i}" for i in range(arguments.genres)])
        num_bytes = sum(path.stat().st_size for path in data_dir.iterdir())
        started_s = time.perf_counter()
        command = python_command("configs.cli:run", "explore", str(data_dir), f"output_dir={folder}/page")
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        wall_s = time.perf_counter() - started_s
        page_bytes = (Path(folder) / "page" / "index.html").stat().st_size
    content = {
        **describe_run(arguments, PACKAGES),
        "tracks": arguments.tracks,
        "segments": arguments.tracks * SEGMENTS_PER_TRACK,
        "data_gb": num_bytes / 1e9,
        "wall_s": wall_s,
        # The maximum over all finished children, of which there is one.
        "peak_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6,
        "page_mb": page_bytes / 1e6,
    }
    write_json(arguments.json, content)
    print(explore_table(content), end="")


def write_data_set(directory: Path, *, num_tracks: int, genres: Sequence[str]) -> None:
    """Writes a prepared data set of log-mel spectrograms, with one audio file for all tracks."""
    directory.mkdir()
    rng = np.random.default_rng(0)
    spectrograms = rng.normal(-40.0, 15.0, (NUM_SPECTROGRAMS, *SHAPE)).astype(np.float16)
    audio_path = directory.parent / "noise.wav"
    soundfile.write(audio_path, rng.normal(0.0, 0.1, 30 * 16_000), 16_000)
    records, infos, first = [], [], 0
    for split, share in SPLIT_SHARES.items():
        num_members = round(share * num_tracks)
        members = [
            _track(index, split=split, genre=genres[index % len(genres)], uri=str(audio_path), rng=rng)
            for index in range(first, first + num_members)
        ]
        first += num_members
        records += members
        infos.append(_write_split(directory, split, members, genres=genres, spectrograms=spectrograms))
    for name, text in _metadata(records, infos, genres=genres).items():
        (directory / name).write_text(text)


def _track(index: int, *, split: str, genre: str, uri: str, rng: np.random.Generator) -> TrackRecord:
    return TrackRecord(
        track_id=f"{index // 1000:03d}/{index:06d}.mp3",
        uri=uri,
        split=split,
        group=f"{split} artist {index // TRACKS_PER_GROUP}",
        label=genre,
        content_hash=f"{index:064x}",
        duration_s=float(rng.normal(30.0, 0.02)),
        padded_s=0.0,
        cut_s=0.0,
        is_truncated=False,
        rms_dbfs=float(rng.normal(-18.0, 4.0)),
        peak_dbfs=-float(rng.exponential(1.0)),
        num_segments=SEGMENTS_PER_TRACK,
        num_silent_segments=0,
    )


def _write_split(
    directory: Path, split: str, tracks: Sequence[TrackRecord], *, genres: Sequence[str], spectrograms: np.ndarray
) -> schema.SplitInfo:
    num_shards = max(1, -(-len(tracks) // TRACKS_PER_SHARD))
    lengths, num_bytes = [], 0
    for index in range(num_shards):
        members = tracks[index * len(tracks) // num_shards : (index + 1) * len(tracks) // num_shards]
        name = schema.shard_filename(dataset_name=NAME, split=split, index=index, num_shards=num_shards)
        with (directory / name).open("wb") as sink:
            for place, track in enumerate(members):
                for segment in range(SEGMENTS_PER_TRACK):
                    spectrogram = spectrograms[(place * SEGMENTS_PER_TRACK + segment) % len(spectrograms)]
                    example = encode_example(
                        track_id=track.track_id,
                        segment_index=segment,
                        start_s=segment * SEGMENT_S,
                        label=genres.index(track.label),
                        features={"log_mel": spectrogram},
                    )
                    num_bytes += write_record(sink, example)
        lengths.append(len(members) * SEGMENTS_PER_TRACK)
    return schema.SplitInfo(name=split, shard_lengths=tuple(lengths), num_bytes=num_bytes)


def _metadata(
    tracks: Sequence[TrackRecord], infos: Sequence[schema.SplitInfo], *, genres: Sequence[str]
) -> dict[str, str]:
    """Returns the text of the metadata files, by name."""
    prepare = {
        "schema_version": schema.SCHEMA_VERSION,
        "fingerprint": NAME,
        "versions": {},
        "sources": {},
        "config": {
            "audio": asdict(AudioConfig()),
            "segment": asdict(SegmentConfig()),
            "duplicates": asdict(DuplicatesConfig()),
            "features": {"log_mel": asdict(LogMelConfig())},
        },
    }
    stats = schema.DatasetStats(
        split_source="group", split_leak=None, audio_s={}, num_tracks={}, num_segments={}, features={}
    )
    spec = schema.FeatureSpec(name="log_mel", shape=SHAPE, dtype="float16")
    return {
        schema.DATASET_INFO_FILE: schema.info_to_json(schema.DatasetInfo(name=NAME, splits=tuple(infos))),
        schema.FEATURES_FILE: schema.features_to_json([spec], num_classes=len(genres)),
        schema.LABELS_FILE: "".join(f"{genre}\n" for genre in genres),
        schema.STATS_FILE: schema.stats_to_json(stats),
        schema.CONFIG_FILE: yaml.safe_dump(prepare),
        schema.TRACKS_FILE: "".join(json_lines(tracks)),
        schema.REJECTS_FILE: "",
        schema.DUPLICATES_FILE: "",
        schema.SUCCESS_FILE: schema.success_to_json(NAME),
    }


if __name__ == "__main__":
    main()
