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
    LEAST_TICK_DISTANCE,
    LONGEST_NARROW_NAME,
    MOST_COLORED_GENRES,
    MOST_GENRE_ROWS,
    NARROW_PX,
    OTHER_COLOR,
    Picture,
    add_legend,
    draw,
    draw_picture,
    draw_svg,
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

_LEAST_NARROW_TICK_DISTANCE = 0.24
_LONGEST_TITLE = 100
_WAVEFORM_POINTS = 680  # two for each pixel of the example
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

    def paint(figure: Figure, is_narrow: bool) -> None:
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
            lower.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        else:
            lower.set_xlabel("frequency in Hz")
            lower.set_xscale("log")
            ticks = [tick for tick in FREQUENCY_TICKS_HZ if positions[0] <= tick <= positions[-1]]
            ticks = ticks[::2] if is_narrow else ticks
            lower.xaxis.set_major_locator(FixedLocator(ticks))
            lower.xaxis.set_minor_locator(NullLocator())
            lower.xaxis.set_major_formatter("{x:g}")
        add_legend(figure, upper, is_narrow=is_narrow)

    return draw_picture(
        paint,
        name=f"{feature.spec.name}-means",
        title=f"Mean {feature.spec.name} by genre" + of_largest(len(colored), len(shown)),
        alt=(
            f"Lines, one for each genre, of the mean and the standard deviation of {feature.spec.name} over "
            f"{'coefficients' if feature.frequencies_hz is None else 'frequency'}: {in_words(colored)}."
        ),
        note=_band_note(feature, splits),
        heights_px=(480, 520),
    )


def _band_map(
    feature: BandFeature, bands: GenreBands, *, rows: Mapping[str, int], shown: Sequence[str], splits: Sequence[str]
) -> Picture:
    drawn = shown[:MOST_GENRE_ROWS]
    first = _first_band(feature)
    values = bands.mean[[rows[genre] for genre in drawn]][:, first:]

    def paint(figure: Figure, is_narrow: bool) -> None:
        axes = figure.add_subplot()
        image = axes.imshow(values, aspect="auto", interpolation="none", cmap="viridis")
        names = [shown_name(genre, longest=LONGEST_NARROW_NAME) if is_narrow else shown_name(genre) for genre in drawn]
        axes.set_yticks(range(len(drawn)), names)
        if feature.frequencies_hz is None:
            shown_columns = range(0, values.shape[1], 4 if is_narrow else 1)
            axes.set_xticks(shown_columns, [str(first + index) for index in shown_columns])
            axes.set_xlabel("coefficient")
        else:
            least = _LEAST_NARROW_TICK_DISTANCE if is_narrow else LEAST_TICK_DISTANCE
            axes.set_xticks(*frequency_ticks(feature.frequencies_hz, least_distance=least))
            axes.set_xlabel("frequency in Hz")
        axes.grid(visible=False)
        place = "top" if is_narrow else "right"
        figure.colorbar(image, ax=axes, label="mean" + _unit(feature), location=place)

    return draw_picture(
        paint,
        name=f"{feature.spec.name}-map",
        title=f"Map of mean {feature.spec.name} by genre" + of_largest(len(drawn), len(shown)),
        alt=f"Heat map of the mean {feature.spec.name}, a row for each of {len(drawn)} genres: {in_words(drawn)}.",
        note=_band_note(feature, splits),
        heights_px=(125 + 20 * len(drawn), 205 + 20 * len(drawn)),
    )


def projection_picture(projection: Projection, *, genre_of: Mapping[str, str], ranked_genres: Sequence[str]) -> Picture:
    """Draws tracks on two principal components, coloured by genre.

    Args:
        projection: The tracks.
        genre_of: The genre of each track, by its id.
        ranked_genres: All genres, the one with the most tracks first.
    """
    labels = np.array([genre_of[track_id] for track_id in projection.track_ids], dtype=object)
    present = [genre for genre in ranked_genres if genre in set(labels)]
    size = float(np.clip(25_000 / len(labels), 8, 50))
    classes = _point_classes(labels, present=present, ranked_genres=ranked_genres)

    def paint(figure: Figure, is_narrow: bool) -> None:
        axes = figure.add_subplot()
        for number, (label, indices, color, marker) in enumerate(classes):
            x, y = projection.positions[indices].T
            points = axes.scatter(x, y, s=size, color=color, marker=marker, alpha=0.75, linewidths=0, label=label)
            points.set_gid(f"points-{number}")
        for name, set_label, explained in (
            ("first", axes.set_xlabel, projection.explained[0]),
            ("second", axes.set_ylabel, projection.explained[1]),
        ):
            set_label(f"{name} component ({explained:.1%}{'' if is_narrow else ' of the variance'})")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5 if is_narrow else 8))
        add_legend(figure, axes, is_narrow=is_narrow, markerscale=(36 / size) ** 0.5)

    note = (
        f"{len(labels)} tracks of all splits, each the mean of {projection.feature} over its segments, centred and not "
        "scaled. Close tracks have similar values of this feature; genres that overlap cannot be separated by these "
        "two components alone."
    )
    if projection.num_not_finite:
        note += f" {projection.num_not_finite} tracks are left out because their values are not finite."
    names = [
        f"{shown_name(track_id, longest=_LONGEST_TITLE)}: {shown_name(genre)}"
        for track_id, genre in zip(projection.track_ids, labels, strict=True)
    ]
    return draw_picture(
        paint,
        name="projection",
        title="Tracks on two principal components",
        alt=(
            f"Scatter plot of {len(labels)} tracks coloured by genre ({in_words(present)}) on the first two principal "
            f"components of their mean {projection.feature}, which explain {projection.explained[0]:.1%} and "
            f"{projection.explained[1]:.1%} of the variance."
        ),
        note=note,
        heights_px=(500, 460),
        titles={
            f"points-{number}": [names[index] for index in indices] for number, (_, indices, _, _) in enumerate(classes)
        },
    )


def _point_classes(
    labels: NDArray[np.object_], *, present: Sequence[str], ranked_genres: Sequence[str]
) -> list[tuple[str, NDArray[np.int64], str, str]]:
    """Returns (label, indices, colour, marker) of each genre that has a colour, and of all others together."""
    colors = genre_colors(ranked_genres)
    others = [genre for genre in present if colors[genre] == OTHER_COLOR]
    classes = [
        (
            shown_name(genre),
            np.flatnonzero(labels == genre),
            colors[genre],
            _MARKERS[ranked_genres.index(genre) % len(_MARKERS)],
        )
        for genre in present
        if genre not in others
    ]
    if others:
        classes.insert(0, (f"{len(others)} other genres", np.flatnonzero(np.isin(labels, others)), OTHER_COLOR, "o"))
    return classes


def example_picture(example: AudioExample, *, number: int) -> Picture:
    """Draws the waveform, the log-mel spectrogram, that of YAMNet if present, and the MFCCs, from top to bottom.

    Args:
        example: The excerpt.
        number: Its number on the page, which no other example has.
    """
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
        charts=(
            draw_svg(paint, name=f"example-{number}", width_px=NARROW_PX, height_px=420 if yamnet is None else 570),
        ),
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
