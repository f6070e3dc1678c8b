"""Duration and memory of planning for a manifest of a million tracks.

    scripts/bench plan --json docs/benchmarks/plan.json     # then: scripts/bench tables

The manifest is a CSV table of invented files; nothing is decoded. The steps are those of `beamtune prepare`.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from figures.model_tables import plan_table
from figures.record import describe_run, json_file, write_json

from beam_pipelines.datasets.config import CsvDatasetConfig
from beam_pipelines.datasets.registry import list_tracks
from beam_pipelines.datasets.track import Track, genre_names
from beam_pipelines.features.config import LogMelConfig
from beam_pipelines.prepare.config import PrepareConfig
from beam_pipelines.prepare.plan import data_set_cache_key, plan_shards
from beam_pipelines.records.json_lines import TrackRecord, json_lines, tracks_from_json_lines
from beam_pipelines.records.schema import FeatureSpec
from beam_pipelines.splits.assign import assign_splits
from beam_pipelines.splits.config import SplitConfig

PACKAGES = ("numpy",)
GENRES = 16
TRACKS_PER_ARTIST = 7


def main() -> None:
    """Runs the benchmark, prints a table and optionally writes the figures as JSON to a file."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench plan", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tracks", type=int, default=1_000_000, help="tracks in the manifest (1000000)")
    parser.add_argument("--json", type=json_file, help="write the figures to this file too")
    arguments = parser.parse_args()

    steps: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder) / "tracks.csv"
        write_manifest(manifest, num_tracks=arguments.tracks)
        plan(manifest, measure=lambda name: timed(name, steps))
    steps["all"] = sum(steps.values())
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    content = {**describe_run(arguments, PACKAGES), "seconds": steps, "peak_mb": peak_mb}
    write_json(arguments.json, content)
    print(plan_table(content), end="")


def write_manifest(path: Path, *, num_tracks: int) -> None:
    """Writes a table of invented files: artists of seven tracks each, each in one genre."""
    with open(path, "w", encoding="utf-8") as file:
        file.write("path,genre,artist\n")
        for number in range(num_tracks):
            artist = number // TRACKS_PER_ARTIST
            file.write(f"music/artist-{artist:07d}/{number:08d}.mp3,genre-{artist % GENRES},artist {artist}\n")


def plan(manifest: Path, *, measure: Callable[[str], AbstractContextManager[None]]) -> None:
    """Runs all steps of planning, and writes and reads the table of tracks."""
    config = PrepareConfig(
        output_dir="unused",
        dataset=CsvDatasetConfig(path=str(manifest)),
        features={"log_mel": LogMelConfig()},
    )
    with measure("list tracks"):
        tracks = list_tracks(config.dataset).tracks
        labels = genre_names(tracks)
    with measure("cache key"):
        data_set_cache_key(tracks, config)
    with measure("split by group"):
        split_of = assign_splits(tracks, config.split, seed=0).split_of
    with measure("plan shards"):
        specs = [FeatureSpec(name="log_mel", shape=(94, 128), dtype="float16")]
        plan_shards(tracks, split_of, config=config, specs=specs, labels=labels)
    with measure("split into 5 folds"):
        assign_splits(tracks, SplitConfig(folds=5, fold=0), seed=0)
    table = manifest.with_name("tracks.jsonl")
    with measure("write tracks.jsonl"), open(table, "w", encoding="utf-8") as file:
        file.writelines(json_lines(record(track, split_of[track.track_id]) for track in tracks))
    del tracks, split_of
    with measure("read tracks.jsonl"):
        tracks_from_json_lines(table.read_text(encoding="utf-8"))


def record(track: Track, split: str) -> TrackRecord:
    """Returns the row of `tracks.jsonl` of a track of 30 s."""
    return TrackRecord(
        track_id=track.track_id,
        uri=track.uri,
        split=split,
        group=track.group,
        label=track.label,
        content_hash="0" * 64,
        duration_s=30.0,
        padded_s=0.0,
        cut_s=0.0,
        is_truncated=False,
        rms_dbfs=-14.25,
        peak_dbfs=-0.3,
        num_segments=10,
        num_silent_segments=0,
    )


@contextmanager
def timed(name: str, steps: dict[str, float]) -> Iterator[None]:
    """Adds the duration of the body to the steps."""
    started_s = time.perf_counter()
    yield
    steps[name] = time.perf_counter() - started_s


if __name__ == "__main__":
    main()
