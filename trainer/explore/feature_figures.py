"""Figures of stored features and audio: mean spectra of genres, tracks on principal components, examples."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from beam_pipelines.features import yamnet_log_mel
from trainer.common.drawing import (
    FREQUENCY_TICKS_HZ,
    MOST_COLORED_GENRES,
    MOST_GENRE_ROWS,
    OTHER_COLOR,
    Picture,
    draw,
    first_drawn_coefficient,
    frequency_ticks,
    genre_colors,
    in_words,
    of_largest,
    paint_frames,
    shown_name,
)
from trainer.explore.audio_examples import AudioExample, NamedSpectrogram
from trainer.explore.feature_statistics import GenreBands
from trainer.explore.plotted_features import YAMNET_LOG_MEL_UNIT, BandFeature
from trainer.explore.projection import Projection

_WIDTH_IN = 9.0
_WAVEFORM_POINTS = 1_000
_LINE_STYLES = ("-", "--")
_MARKERS = ("o", "^", "s", "D", "v")


def band_pictures(
    feature: BandFeature,
    bands: GenreBands,
    *,
    genres: Sequence[str],
    ranked_genres: Sequence[str],
    splits: Sequence[str],
) -> list[Picture]:
    """Draws the mean and the standard deviation of each band by genre; for many genres a heat map of the means too.

    Args:
        feature: The feature.
        bands: Its statistics by genre.
        genres: The genres in the order of the statistics.
        ranked_genres: All genres, the one with the most tracks first.
        splits: The splits that the statistics are of.
    """
    rows = {genre: row for row, genre in enumerate(genres) if bands.num_frames[row] > 0}
    shown = [genre for genre in ranked_genres if genre in rows and np.isfinite(bands.mean[rows[genre]]).all()]
    if not shown:
        return []
    pictures = [_band_lines(feature, bands, rows=rows, shown=shown, ranked_genres=ranked_genres, splits=splits)]
    if len(shown) > MOST_COLORED_GENRES:
        pictures.append(_band_map(feature, bands, rows=rows, shown=shown, splits=splits))
    return pictures


def _band_lines(
    feature: BandFeature,
    bands: GenreBands,
    *,
    rows: Mapping[str, int],
    shown: Sequence[str],
    ranked_genres: Sequence[str],
    splits: Sequence[str],
) -> Picture:
    colors = genre_colors(ranked_genres)
    colored = [genre for genre in shown if colors[genre] != OTHER_COLOR] or shown[:MOST_COLORED_GENRES]
    first = _first_band(feature)
    positions = (
        np.arange(feature.spec.shape[-1]) if feature.frequencies_hz is None else np.array(feature.frequencies_hz)
    )

    def paint(figure: Figure) -> None:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        for axes, values in ((upper, bands.mean), (lower, bands.std)):
            for genre in colored:
                axes.plot(
                    positions[first:],
                    values[rows[genre]][first:],
                    color=colors[genre],
                    linestyle=_LINE_STYLES[ranked_genres.index(genre) % len(_LINE_STYLES)],
                    linewidth=1.8,
                    label=shown_name(genre),
                )
        upper.set_ylabel("mean" + _unit(feature))
        lower.set_ylabel("std. deviation" + _unit(feature))
        if feature.frequencies_hz is None:
            lower.set_xlabel("coefficient")
        else:
            lower.set_xlabel("frequency in Hz")
            lower.set_xscale("log")
            ticks = [tick for tick in FREQUENCY_TICKS_HZ if positions[0] <= tick <= positions[-1]]
            lower.xaxis.set_major_locator(FixedLocator(ticks))
            lower.xaxis.set_minor_locator(NullLocator())
            lower.xaxis.set_major_formatter("{x:g}")
        upper.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))

    return Picture(
        name=f"{feature.spec.name}-means",
        title=f"Mean {feature.spec.name} by genre" + of_largest(len(colored), len(shown)),
        alt=(
            f"Lines, one for each genre, of the mean and the standard deviation of {feature.spec.name} over "
            f"{'coefficients' if feature.frequencies_hz is None else 'frequency'}: {in_words(colored)}."
        ),
        note=_band_note(feature, splits),
        png=draw(paint, width_in=_WIDTH_IN, height_in=5.4),
    )


def _band_map(
    feature: BandFeature, bands: GenreBands, *, rows: Mapping[str, int], shown: Sequence[str], splits: Sequence[str]
) -> Picture:
    drawn = shown[:MOST_GENRE_ROWS]
    first = _first_band(feature)
    values = bands.mean[[rows[genre] for genre in drawn]][:, first:]

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        image = axes.imshow(values, aspect="auto", interpolation="nearest", cmap="viridis")
        axes.set_yticks(range(len(drawn)), [shown_name(genre) for genre in drawn])
        if feature.frequencies_hz is None:
            axes.set_xticks(range(values.shape[1]), [str(first + index) for index in range(values.shape[1])])
            axes.set_xlabel("coefficient")
        else:
            axes.set_xticks(*frequency_ticks(feature.frequencies_hz))
            axes.set_xlabel("frequency in Hz")
        axes.grid(visible=False)
        figure.colorbar(image, ax=axes, label="mean" + _unit(feature))

    return Picture(
        name=f"{feature.spec.name}-map",
        title=f"Map of mean {feature.spec.name} by genre" + of_largest(len(drawn), len(shown)),
        alt=f"Heat map of the mean {feature.spec.name}, a row for each of {len(drawn)} genres: {in_words(drawn)}.",
        note=_band_note(feature, splits),
        png=draw(paint, width_in=_WIDTH_IN, height_in=1.4 + 0.22 * len(drawn)),
    )


def projection_picture(projection: Projection, *, genre_of: Mapping[str, str], ranked_genres: Sequence[str]) -> Picture:
    """Draws tracks on two principal components, coloured by genre.

    Args:
        projection: The tracks.
        genre_of: The genre of each track, by its id.
        ranked_genres: All genres, the one with the most tracks first.
    """
    labels = np.array([genre_of[track_id] for track_id in projection.track_ids], dtype=object)
    colors = genre_colors(ranked_genres)
    drawn = set(labels)
    present = [genre for genre in ranked_genres if genre in drawn]
    others = [genre for genre in present if colors[genre] == OTHER_COLOR]
    size = float(np.clip(12_000 / len(labels), 4, 30))

    def scatter(axes: Axes, chosen: NDArray[np.bool_], *, color: str, marker: str, label: str) -> None:
        x, y = projection.positions[chosen].T
        axes.scatter(x, y, s=size, color=color, marker=marker, alpha=0.75, linewidths=0, label=label)

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        if others:
            label = f"{len(others)} other genres"
            scatter(axes, np.isin(labels, others), color=OTHER_COLOR, marker="o", label=label)
        for genre in present:
            if genre not in others:
                marker = _MARKERS[ranked_genres.index(genre) % len(_MARKERS)]
                scatter(axes, labels == genre, color=colors[genre], marker=marker, label=shown_name(genre))
        axes.set_xlabel(f"first component ({projection.explained[0]:.1%} of the variance)")
        axes.set_ylabel(f"second component ({projection.explained[1]:.1%} of the variance)")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), markerscale=(36 / size) ** 0.5)

    note = (
        f"{len(labels)} tracks of all splits, each the mean of {projection.feature} over its segments, centred and not "
        "scaled. Close tracks have similar values of this feature; genres that overlap cannot be separated by these "
        "two components alone."
    )
    if projection.num_not_finite:
        note += f" {projection.num_not_finite} tracks are left out because their values are not finite."
    return Picture(
        name="projection",
        title="Tracks on two principal components",
        alt=(
            f"Scatter plot of {len(labels)} tracks coloured by genre ({in_words(present)}) on the first two principal "
            f"components of their mean {projection.feature}, which explain {projection.explained[0]:.1%} and "
            f"{projection.explained[1]:.1%} of the variance."
        ),
        note=note,
        png=draw(paint, width_in=_WIDTH_IN, height_in=5.6),
    )


def example_picture(example: AudioExample) -> Picture:
    """Draws the waveform, the log-mel spectrogram, that of YAMNet if present, and the MFCCs, from top to bottom."""
    first = first_drawn_coefficient(example.mfcc.shape[1])
    yamnet = example.yamnet_log_mel
    heights = (2, 4, 3) if yamnet is None else (2, 4, 4, 3)

    def paint(figure: Figure) -> None:
        wave, mel, *others, mfcc = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
        _paint_waveform(wave, example)
        mel_image = _paint_centred_frames(mel, example.log_mel, frame_s=example.log_mel_frame_s, cmap="magma")
        mel.set_yticks(*frequency_ticks(example.frequencies_hz))
        mel.set_ylabel("frequency in Hz")
        figure.colorbar(mel_image, ax=mel, label="dB", pad=0.01)
        if yamnet is not None:
            _paint_yamnet_log_mel(figure, others[0], yamnet)
        mfcc_image = _paint_centred_frames(
            mfcc, example.mfcc[:, first:], frame_s=example.mfcc_frame_s, cmap="viridis", first_band=first
        )
        mfcc.set_ylabel("MFCC")
        mfcc.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        mfcc.set_xlabel("time in the excerpt in s")
        mfcc.set_xlim(0, example.duration_s)
        figure.colorbar(mfcc_image, ax=mfcc, pad=0.01)

    return Picture(
        name=f"example/{example.genre}",
        title=example.genre,
        alt=(
            f"Waveform, log-mel spectrogram{'' if yamnet is None else f', {yamnet.name}'} and MFCC of "
            f"{example.duration_s:.1f} s of {example.genre} from {example.track.track_id}, "
            f"starting at {example.start_s:.1f} s."
        ),
        png=draw(paint, width_in=6.0, height_in=5.0 if yamnet is None else 6.8),
    )


def _paint_yamnet_log_mel(figure: Figure, axes: Axes, spectrogram: NamedSpectrogram) -> None:
    image = _paint_centred_frames(
        axes,
        spectrogram.values,
        frame_s=yamnet_log_mel.HOP_S,
        # Its first window starts at 0 s; that of the other spectrograms is centred on 0 s.
        first_frame_s=yamnet_log_mel.WINDOW_S / 2,
        cmap="magma",
    )
    axes.set_yticks(*frequency_ticks(yamnet_log_mel.band_centres()))
    axes.set_ylabel(f"{shown_name(spectrogram.name)}\nfrequency in Hz")
    figure.colorbar(image, ax=axes, label=YAMNET_LOG_MEL_UNIT, pad=0.01)


def _paint_waveform(axes: Axes, example: AudioExample) -> None:
    """Draws the envelope: the minimum and the maximum of each block of samples."""
    block_size = max(1, len(example.samples) // _WAVEFORM_POINTS)
    blocks = example.samples[: len(example.samples) // block_size * block_size].reshape(-1, block_size)
    times_s = (np.arange(len(blocks)) + 0.5) * block_size / example.sample_rate_hz
    axes.fill_between(times_s, blocks.min(axis=1), blocks.max(axis=1), color="#4477AA", linewidth=0.6)
    axes.set_ylim(-1.05, 1.05)
    axes.set_ylabel("amplitude")


def _paint_centred_frames(
    axes: Axes,
    frames: NDArray[np.float32],
    *,
    frame_s: float,
    cmap: str,
    first_band: int = 0,
    first_frame_s: float = 0.0,
) -> AxesImage:
    """Draws (frames, bands), each frame centred on its time and the first one on `first_frame_s`."""
    times_s = (first_frame_s - 0.5 * frame_s, first_frame_s + (len(frames) - 0.5) * frame_s)
    return paint_frames(axes, frames, times_s=times_s, cmap=cmap, first_band=first_band)


def _first_band(feature: BandFeature) -> int:
    return first_drawn_coefficient(feature.spec.shape[-1]) if feature.frequencies_hz is None else 0


def _unit(feature: BandFeature) -> str:
    return "" if feature.unit is None else f" in {feature.unit}"


def _band_note(feature: BandFeature, splits: Sequence[str]) -> str:
    note = f"Over all frames of the {' and '.join(splits)} split{'' if len(splits) == 1 else 's'}."
    if _first_band(feature):
        return f"{note} Coefficient 0, the loudness, is left out."
    if feature.num_frames < feature.spec.shape[0]:
        return f"{note} Frames that reach into the zero padding after a segment are left out."
    return note
