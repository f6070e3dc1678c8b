"""Writes the figures, examples and counts of a data set for TensorBoard."""

import html
from collections import Counter

import numpy as np

from trainer.common.drawing import Picture
from trainer.common.event_files import EventFile
from trainer.common.markdown import markdown_table, plain_text, preformatted
from trainer.data.prepared import PreparedData
from trainer.explore.audio_examples import AudioExample
from trainer.explore.dataset_summary import ALL_SPLITS, DatasetSummary
from trainer.explore.prepared_tables import Tables

EVENTS_DIR = "events"


def write_tables(events: EventFile, data: PreparedData, tables: Tables, summary: DatasetSummary) -> None:
    """Writes counts as scalars, durations and levels as histograms, and the tables as text."""
    scalars: dict[str, float] = {}
    for split in (*summary.splits, ALL_SPLITS):
        total = summary.totals[split]
        scalars[f"tracks/{split}"] = total.tracks
        scalars[f"segments/{split}"] = total.segments
        scalars[f"minutes/{split}"] = total.minutes
    for split, num_groups in summary.num_groups.items():
        scalars[f"groups/{split}"] = num_groups
    scalars["left_out/tracks"] = len(tables.rejects)
    scalars["duplicates/pairs"] = len(tables.duplicates or ())
    for tag, value in scalars.items():
        events.scalar(tag, value, step=0)
    for name in ("duration_s", "rms_dbfs", "peak_dbfs"):
        values = np.array([getattr(track, name) for track in tables.tracks])
        events.histogram(f"histogram/{name}", values[np.isfinite(values)], step=0)
    for name, text in _texts(data, tables, summary).items():
        events.text(f"table/{name}", text, step=0)


def write_picture(events: EventFile, picture: Picture) -> None:
    """Writes a figure as an image."""
    events.image(f"picture/{picture.name}", picture.png, step=0, description=html.escape(picture.alt))


def write_example(events: EventFile, example: AudioExample, wav: bytes) -> None:
    """Writes an example, encoded as WAV, as audio."""
    events.audio(f"sound/{example.genre}", wav, step=0, description=html.escape(example.track.track_id))


def _texts(data: PreparedData, tables: Tables, summary: DatasetSummary) -> dict[str, str]:
    columns = (*summary.splits, ALL_SPLITS)
    numbers = [
        [genre, *(str(summary.counts[genre, split].tracks) for split in columns)] for genre in summary.ranked_genres
    ]
    totals = ["all genres", *(str(summary.totals[split].tracks) for split in columns)]
    reasons = Counter(reject.reason for reject in tables.rejects).most_common()
    outcomes = sorted(Counter((pair.kind, pair.outcome) for pair in tables.duplicates or ()).items())
    leak = "" if data.stats.split_leak is None else f"\n\n**{plain_text(data.stats.split_leak)}**"
    name, split_source, cache_key = map(plain_text, (data.info.name, data.stats.split_source, data.cache_key))
    return {
        "about": f"{name}, splits: {split_source}, `{cache_key}`{leak}",
        "tracks": markdown_table(["genre", *columns], [*numbers, totals]),
        "rejects": markdown_table(["reason", "tracks"], [[reason, str(count)] for reason, count in reasons]),
        "duplicates": markdown_table(
            ["kind", "outcome", "pairs"], [[kind, outcome, str(count)] for (kind, outcome), count in outcomes]
        ),
        "prepare.yaml": preformatted(tables.preparation.text),
    }
