"""What `beamtune prepare` prints when it is done."""

from collections.abc import Sequence
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table

from beam_pipelines.metadata import count_rejects, count_tracks
from beam_pipelines.records.schema import REJECTS_FILE, SPLITS
from beam_pipelines.shard import ShardReport


def print_summary(reports: Sequence[ShardReport], *, labels: Sequence[str], output_dir: str, stream: TextIO) -> None:
    """Prints tracks by genre and split, and how many were rejected for what reason."""
    console = Console(file=stream, highlight=False)
    counts = count_tracks(reports)
    splits = [split for split in SPLITS if split in counts]
    # Lines around the cells are for eyes: what is piped stays easy to take apart.
    table = Table(title="tracks", title_justify="left", box=box.ROUNDED if console.is_terminal else None)
    table.add_column("genre")
    for split in splits:
        table.add_column(split, justify="right")
    for label in labels:
        table.add_row(label, *(str(counts[split].get(label, 0)) for split in splits))
    table.add_section()
    table.add_row("all", *(str(sum(counts[split].values())) for split in splits))
    console.print(table)

    num_segments = sum(report.num_examples for report in reports)
    num_silent = sum(track.num_silent_segments for report in reports for track in report.tracks)
    num_bytes = sum(report.num_bytes for report in reports)
    _print(console, f"{num_segments} segments in {len(reports)} shards, {num_bytes / 2**20:.1f} MiB")
    if num_silent:
        _print(console, f"{num_silent} silent segments left out")
    num_cut = sum(track.is_cut for report in reports for track in report.tracks)
    if num_cut:
        _print(console, f"{num_cut} tracks cut at audio.max_duration_s")
    rejects = count_rejects(reports)
    if rejects:
        reasons = ", ".join(f"{count} {reason}" for reason, count in rejects.items())
        _print(console, f"{sum(rejects.values())} tracks rejected ({reasons}): see {output_dir}/{REJECTS_FILE}")
    _print(console, f"prepared: {output_dir}")


def _print(console: Console, line: str) -> None:
    console.print(line, markup=False, soft_wrap=True)
