"""The same pictures, sounds and numbers for TensorBoard."""

import html
from collections import Counter
from types import TracebackType

import numpy as np
import tensorflow as tf

from trainer.common import files
from trainer.common.drawing import Picture
from trainer.common.markdown import markdown_table, plain_text, preformatted
from trainer.data.prepared import PreparedData
from trainer.explore.examples import Example
from trainer.explore.prepared_tables import Tables
from trainer.explore.totals import ALL_SPLITS, Summary

EVENTS_DIR = "events"

_EVENT_FILES = "events.out.tfevents.*"


class EventWriter:
    """Writes events, all of step 0, in place of those that are there; a context manager.

    TensorBoard shows a tag in one place only, so pictures, sounds and the like each have a prefix of their own.
    """

    def __init__(self, directory: str) -> None:
        """Deletes the event files in `directory`, which TensorBoard would show in one with the new ones.

        Args:
            directory: Where to write, local or gs://.

        Raises:
            tf.errors.OpError: It cannot be written to.
        """
        tf.io.gfile.makedirs(directory)
        for path in tf.io.gfile.glob(files.join(directory, _EVENT_FILES)):
            tf.io.gfile.remove(path)
        self._writer = tf.summary.create_file_writer(directory)

    def __enter__(self) -> "EventWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.close()

    def write_numbers(self, data: PreparedData, tables: Tables, summary: Summary) -> None:
        """Writes counts as scalars, durations and levels as histograms, and the tables as text."""
        with self._writer.as_default(step=0):
            for split in (*summary.splits, ALL_SPLITS):
                amount = summary.totals[split]
                tf.summary.scalar(f"tracks/{split}", amount.tracks)
                tf.summary.scalar(f"segments/{split}", amount.segments)
                tf.summary.scalar(f"minutes/{split}", amount.minutes)
            for split, num_groups in summary.num_groups.items():
                tf.summary.scalar(f"groups/{split}", num_groups)
            tf.summary.scalar("left_out/tracks", len(tables.rejects))
            tf.summary.scalar("duplicates/pairs", len(tables.duplicates or ()))
            for name, values in {
                "duration_s": [track.duration_s for track in tables.tracks],
                "rms_dbfs": [track.rms_dbfs for track in tables.tracks],
                "peak_dbfs": [track.peak_dbfs for track in tables.tracks],
            }.items():
                tf.summary.histogram(f"histogram/{name}", np.array(values)[np.isfinite(values)])
            for name, text in _texts(data, tables, summary).items():
                tf.summary.text(f"table/{name}", text)

    def write_picture(self, picture: Picture) -> None:
        """Writes a picture as an image."""
        with self._writer.as_default(step=0):
            image = tf.io.decode_png(picture.png, channels=3)
            tf.summary.image(f"picture/{picture.name}", image[None], description=html.escape(picture.alt))

    def write_example(self, example: Example) -> None:
        """Writes what is heard of an example as audio."""
        with self._writer.as_default(step=0):
            tf.summary.audio(
                f"sound/{example.genre}",
                example.samples[None, :, None],
                sample_rate=example.sample_rate_hz,
                description=html.escape(example.track.track_id),
            )


def _texts(data: PreparedData, tables: Tables, summary: Summary) -> dict[str, str]:
    columns = (*summary.splits, ALL_SPLITS)
    numbers = [
        [genre, *(str(summary.amounts[genre, split].tracks) for split in columns)] for genre in summary.ranked_genres
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
        "prepare.yaml": preformatted(tables.settings.text),
    }
