"""The summary that `beamtune prepare` prints."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TextIO

from beam_pipelines.common.tables import TextTable
from beam_pipelines.common.terminal import counted, make_console, print_line
from beam_pipelines.features.pretrained_networks import notes_on_contamination
from beam_pipelines.prepare.job import FinishedBuild, PrepareJob
from beam_pipelines.prepare.metadata import count_rejects, count_tracks
from beam_pipelines.records.json_lines import Reject
from beam_pipelines.records.schema import DUPLICATES_FILE, REJECTS_FILE, SPLITS, TRACKS_FILE
from beam_pipelines.splits.assign import Assignment
from beam_pipelines.splits.resolve_duplicates import JOINED, LEFT_OUT, REPORTED, SAME_SPLIT

_OUTCOMES = {
    SAME_SPLIT: "in one split",
    JOINED: "put into one split with their groups",
    LEFT_OUT: "in two splits, and left out of the earlier one",
    REPORTED: "in two splits",
}


def print_summary(job: PrepareJob, build: FinishedBuild, *, left_out: Sequence[Reject], stream: TextIO) -> None:
    """Prints tracks by genre and split, and the numbers of padded, cut, left-out and rejected tracks.

    Args:
        job: The preparation.
        build: The shards.
        left_out: Tracks that are in no shard, in addition to the rejects of the shards' reports.
        stream: Where to print.
    """
    console = make_console(stream)
    counts = count_tracks(build.reports)
    splits = [split for split in SPLITS if split in counts]
    table = TextTable(f"tracks, {_split_name(build.assignment)} split", "genre", *splits)
    for label in job.labels:
        table.add_row(label, *(str(counts[split].get(label, 0)) for split in splits))
    table.add_section()
    table.add_row("all", *(str(sum(counts[split].values())) for split in splits))
    console.print(table)

    for line in _lines(build, left_out=left_out, output_dir=job.config.output_dir):
        print_line(console, line)
    for note in notes_on_contamination(asdict(job.config.dataset), job.config.features):
        print_line(console, f"note: {note}")
    print_line(console, f"prepared: {job.config.output_dir}")


def _lines(build: FinishedBuild, *, left_out: Sequence[Reject], output_dir: str) -> Iterator[str]:
    assignment, resolution, reports = build.assignment, build.resolution, build.reports
    tracks = [track for report in reports for track in report.tracks]
    num_segments = sum(report.num_examples for report in reports)
    num_bytes = sum(report.num_bytes for report in reports)
    shards = counted(len(reports), "shard")
    yield f"{counted(num_segments, 'segment')} in {shards}, {num_bytes / 2**20:.1f} MiB"
    timed = [report for report in reports if report.decode_s > 0]
    if timed:
        minutes = sum(track.duration_s for report in timed for track in report.tracks) / 60
        decode_s, feature_s = (sum(report.decode_s for report in timed), sum(report.feature_s for report in timed))
        yield f"{decode_s / minutes:.2f} s to decode a minute of audio, {feature_s / minutes:.2f} s for its features"
    if assignment.leak is not None:
        yield f"leaky split: {assignment.leak}; scores on it will be too high"
    num_silent = sum(track.num_silent_segments for track in tracks)
    if num_silent:
        yield f"{counted(num_silent, 'silent segment')} left out"
    counts = {
        "padded with silence to audio.clip_duration_s": sum(track.padded_s > 0 for track in tracks),
        "cut to audio.clip_duration_s": sum(track.cut_s > 0 for track in tracks),
        "cut at audio.max_duration_s": sum(track.is_truncated and not track.is_partial for track in tracks),
        f"decoded in part, because of damage or truncation: see {output_dir}/{TRACKS_FILE}": sum(
            track.is_partial for track in tracks
        ),
    }
    yield from (f"{counted(count, 'track')} {what}" for what, count in counts.items() if count)
    if resolution.pairs:
        outcomes = Counter(pair.outcome for pair in resolution.pairs)
        what = ", ".join(f"{count} {_OUTCOMES[outcome]}" for outcome, count in outcomes.most_common())
        pairs = counted(len(resolution.pairs), "pair")
        yield f"{pairs} of tracks with the same recording ({what}): see {output_dir}/{DUPLICATES_FILE}"
    rejects = [*build.rejects, *left_out]
    if rejects:
        reasons = ", ".join(f"{count} {reason}" for reason, count in count_rejects(rejects).items())
        yield f"{counted(len(rejects), 'track')} rejected ({reasons}): see {output_dir}/{REJECTS_FILE}"
    known = [reject.track_id for reject in rejects if reject.known_fault is not None and reject.reason != "excluded"]
    if known:
        yield f"known faults of the data set among them: {len(known)} ({', '.join(known)})"


def _split_name(assignment: Assignment) -> str:
    return assignment.source if assignment.leak is None else f"{assignment.source} (leaky)"
