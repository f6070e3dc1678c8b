"""Renders the page: one HTML file that contains all of its figures, tables and audio.

The names in it come from the user's files: the template escapes all of them, and the content security policy of the
page lets a browser load nothing and run no script.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from beam_pipelines.records.json_lines import DuplicatePair, Reject
from trainer.common.drawing import Picture, in_words, of_largest
from trainer.common.pages import page_template, tenths, whole
from trainer.data.prepared import PreparedData
from trainer.explore.audio_examples import AudioExample, MissingExample
from trainer.explore.dataset_summary import ALL_SPLITS, DatasetSummary, with_article
from trainer.explore.prepared_tables import Tables

_TEMPLATE = "page.html.jinja"
_MOST_ROWS = 100
_MOST_GROUPS = 20

_CONTENTS = (
    ("numbers", "Genres and splits"),
    ("durations", "Durations"),
    ("loudness", "Loudness"),
    ("groups", "{}s"),
    ("sound", "Audio features by genre"),
    ("examples", "Examples"),
    ("rejects", "Tracks left out"),
    ("duplicates", "Duplicates"),
    ("settings", "How it was prepared"),
)


@dataclass(frozen=True)
class Pictures:
    """The figures of the page.

    Attributes:
        clips: Tracks by genre and split.
        durations: Durations of tracks.
        loudness: Level and peak by genre.
        groups: Groups by split and by size.
        rejects: Tracks left out; None if there are none.
        bands: The mean spectra of each plotted feature; empty if there is none.
        projection: Tracks on principal components; None if no feature can be projected.
    """

    clips: Picture
    durations: Picture
    loudness: Picture
    groups: Picture
    rejects: Picture | None
    bands: Sequence[Picture]
    projection: Picture | None

    def all(self) -> list[Picture]:
        """Returns the figures that exist, in the order of the page."""
        pictures = [self.clips, self.durations, self.loudness, self.groups, self.rejects, *self.bands, self.projection]
        return [picture for picture in pictures if picture is not None]


@dataclass(frozen=True)
class ExampleEntry:
    """An example as the page shows it.

    Attributes:
        example: The excerpt.
        wav: Its samples as a WAV file.
        picture: Its waveform and spectrograms.
    """

    example: AudioExample
    wav: bytes
    picture: Picture


@dataclass(frozen=True)
class _Listing:
    """The first rows of a long table, the number of all rows, and their counts by category."""

    num_all: int
    counts: Sequence[tuple[object, ...]]
    rows: Sequence[Reject | DuplicatePair]


def render_page(
    *,
    name: str,
    data: PreparedData,
    tables: Tables,
    summary: DatasetSummary,
    pictures: Pictures,
    examples: Sequence[ExampleEntry | MissingExample],
    example_duration_s: float,
) -> str:
    """Returns the HTML of the page.

    Args:
        name: The name of the page: that of the data set's folder.
        data: The data set.
        tables: Its tables.
        summary: The counts of its tracks.
        pictures: The figures.
        examples: The examples, one for each genre.
        example_duration_s: The wanted duration of an example in seconds.
    """
    total = summary.totals[ALL_SPLITS]
    group_word = tables.group_word
    return page_template(__package__, _TEMPLATE).render(
        name=name,
        dataset_name=data.info.name,
        cache_key=data.cache_key,
        split_source=data.stats.split_source,
        split_leak=data.stats.split_leak,
        facts=[
            ("tracks", whole(total.tracks)),
            ("genres", whole(len(summary.genres))),
            (f"{group_word}s", whole(len({group.name for group in summary.groups}))),
            ("segments", whole(total.segments)),
            ("minutes of audio", tenths(total.minutes)),
            ("tracks left out", whole(len(tables.rejects))),
        ],
        contents=[(anchor, title.format(group_word.capitalize())) for anchor, title in _CONTENTS],
        group_word=group_word,
        a_group=with_article(group_word),
        columns=(*summary.splits, ALL_SPLITS) if len(summary.splits) > 1 else summary.splits,
        summary=summary,
        crossing_groups=summary.crossing_groups,
        groups=summary.groups[:_MOST_GROUPS],
        pictures=pictures,
        examples=examples,
        examples_of_largest=of_largest(
            len(examples), sum(summary.counts[genre, ALL_SPLITS].tracks > 0 for genre in summary.genres)
        ),
        example_duration_s=example_duration_s,
        sample_rate_hz=tables.preparation.audio.sample_rate_hz,
        rejects=_list_rejects(tables.rejects),
        duplicates=None if tables.duplicates is None else _list_duplicates(tables.duplicates),
        prepare_yaml=tables.preparation.text,
        in_words=in_words,
    )


def _list_rejects(rejects: Sequence[Reject]) -> _Listing:
    known = Counter(reject.reason for reject in rejects if reject.known_fault is not None)
    reasons = Counter(reject.reason for reject in rejects).most_common()
    return _Listing(
        num_all=len(rejects),
        counts=[(reason, num_tracks, known[reason]) for reason, num_tracks in reasons],
        rows=rejects[:_MOST_ROWS],
    )


def _list_duplicates(duplicates: Sequence[DuplicatePair]) -> _Listing:
    counts = Counter((pair.kind, pair.outcome) for pair in duplicates)
    return _Listing(
        num_all=len(duplicates),
        counts=[(kind, outcome, num_pairs) for (kind, outcome), num_pairs in sorted(counts.items())],
        rows=duplicates[:_MOST_ROWS],
    )
