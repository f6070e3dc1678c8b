"""The excerpts of a report: mp3 files with their spectrograms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from beam_pipelines.audio.load import Audio
from beam_pipelines.prepare.prepare_yaml import PrepareYaml
from trainer.common.drawing import draw, paint_frames
from trainer.explore.audio_examples import log_mel_of
from trainer.explore.excerpts import Excerpt, MissingExcerpt, read_excerpts
from trainer.report.data_card import FoundData

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH_IN, _HEIGHT_IN = 3.6, 1.1


@dataclass(frozen=True)
class Clips:
    """The excerpts of tracks.

    Attributes:
        excerpts: By the id of the track.
        problem: Why there is no audio of any, in a sentence; None where some can be read.
    """

    excerpts: Mapping[str, Excerpt | MissingExcerpt]
    problem: str | None

    def to_json(self) -> dict[str, dict[str, float | str | None]]:
        """Returns what the page says of each excerpt."""
        return {
            track_id: {"start_s": None, "duration_s": None, "problem": excerpt.problem}
            if isinstance(excerpt, MissingExcerpt)
            else {"start_s": excerpt.start_s, "duration_s": excerpt.duration_s, "problem": None}
            for track_id, excerpt in self.excerpts.items()
        }


def read_clips(track_ids: Sequence[str], *, data: FoundData | None, duration_s: float) -> Clips:
    """Returns the excerpts of tracks.

    Args:
        track_ids: The tracks.
        data: Their data set; None where the report has no tracks.
        duration_s: The duration of an excerpt in seconds.
    """
    if data is None or not track_ids:
        return Clips(excerpts={}, problem=None)
    if data.tables is None:
        return Clips(excerpts={}, problem=f"the prepared data set is missing: {data.problem}")
    records = {track.track_id: track for track in data.tables.tracks}
    excerpts = read_excerpts(
        [records[track_id] for track_id in track_ids if track_id in records],
        data_dir=data.data_dir,
        preparation=data.tables.preparation,
        duration_s=duration_s,
        draw=partial(spectrogram_png, preparation=data.tables.preparation),
    )
    problems = [excerpt.problem for excerpt in excerpts.values() if isinstance(excerpt, MissingExcerpt)]
    is_all = len(problems) == len(excerpts)
    return Clips(
        excerpts=excerpts, problem=next(iter(problems), "the data set has none of these tracks") if is_all else None
    )


def spectrogram_png(excerpt: Audio, *, preparation: PrepareYaml) -> bytes:
    """Returns the log-mel spectrogram of an excerpt, time to the right and frequency upwards, without axes."""
    log_mel = log_mel_of(excerpt, preparation)

    def paint(figure: "Figure") -> None:
        figure.set_layout_engine("none")
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        paint_frames(axes, log_mel.values, times_s=(0.0, len(log_mel.values) * log_mel.frame_s), cmap="magma")
        axes.set_axis_off()

    return draw(paint, width_in=_WIDTH_IN, height_in=_HEIGHT_IN)
