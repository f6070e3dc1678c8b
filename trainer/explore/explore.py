"""`beamtune explore`: what a prepared data set holds, as a page and as TensorBoard events."""

from collections.abc import Sequence

import tensorflow as tf

from beam_pipelines.audio.encode import encode_wav
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.progress import ProgressReporter
from beam_pipelines.records.schema import TRAIN
from trainer.common import files
from trainer.data.prepared import PreparedData, open_prepared
from trainer.explore.collect import Collected, collect, sample_tracks
from trainer.explore.config import ExploreConfig
from trainer.explore.events import EVENTS_DIR, EventWriter
from trainer.explore.examples import Example, find_examples
from trainer.explore.feature_roles import FeatureRoles, find_roles
from trainer.explore.figures import (
    clips_picture,
    durations_picture,
    groups_picture,
    loudness_picture,
    rejects_picture,
)
from trainer.explore.page import ExampleEntry, MissingEntry, Pictures, render_page
from trainer.explore.prepared_tables import Tables, read_tables
from trainer.explore.projection import project
from trainer.explore.sound_figures import band_pictures, example_picture, projection_picture
from trainer.explore.totals import ALL_SPLITS, Summary, summarize

PAGE_FILE = "index.html"


def explore(config: ExploreConfig) -> None:
    """Writes the page and the events, and prints where they are.

    The same data set, settings and versions of the libraries give the same page, to the byte.

    Args:
        config: What to read, where to write, and how much to draw.

    Raises:
        UserError: There is no finished data set, a table of it is damaged, or the output cannot be written.
        RunFailedError: A shard is damaged.
    """
    data = open_prepared(config.data_dir)
    tables = read_tables(config.data_dir)
    summary = summarize(tables.tracks, genres=data.labels)
    output_dir = files.join("explore", data.info.name) if config.output_dir is None else config.output_dir
    events_dir = files.join(output_dir, EVENTS_DIR)
    try:
        events = EventWriter(events_dir)
    except tf.errors.OpError as error:
        raise UserError(f"output_dir={output_dir} cannot be written to: {error.message}") from error
    with events:
        events.write_numbers(data, tables, summary)
        pictures = _pictures(data, tables, summary, config=config)
        for picture in pictures.all():
            events.write_picture(picture)
        entries = _example_entries(tables, summary, config=config, events=events)
    page = render_page(
        data=data,
        tables=tables,
        summary=summary,
        pictures=pictures,
        examples=entries,
        example_duration_s=config.example_duration_s,
    )
    page_path = files.join(output_dir, PAGE_FILE)
    files.write_text(page_path, page)
    total = summary.totals[ALL_SPLITS]
    print(f"{page_path}: {total.tracks} tracks of {len(summary.genres)} genres, {total.segments} segments")
    print(f"the same in TensorBoard: beamtune tensorboard {events_dir}")


def _pictures(data: PreparedData, tables: Tables, summary: Summary, *, config: ExploreConfig) -> Pictures:
    roles = find_roles(data.specs, tables.settings)
    band_splits = (TRAIN,) if TRAIN in summary.splits else summary.splits
    collected = _collect(data, tables, summary, roles=roles, band_splits=band_splits, config=config)
    projection = None if collected.vectors is None else project(collected.vectors)
    return Pictures(
        clips=clips_picture(summary),
        durations=durations_picture(summary, tables.tracks),
        loudness=loudness_picture(summary, tables.tracks),
        groups=groups_picture(summary),
        rejects=rejects_picture(summary, tables.rejects) if tables.rejects else None,
        bands=[
            picture
            for feature in roles.bands
            for picture in band_pictures(
                feature,
                collected.genre_bands[feature.spec.name],
                genres=summary.genres,
                ranked_genres=summary.ranked_genres,
                splits=band_splits,
            )
        ],
        projection=None
        if projection is None
        else projection_picture(
            projection,
            genre_of={track.track_id: track.label for track in tables.tracks},
            ranked_genres=summary.ranked_genres,
        ),
    )


def _collect(
    data: PreparedData,
    tables: Tables,
    summary: Summary,
    *,
    roles: FeatureRoles,
    band_splits: Sequence[str],
    config: ExploreConfig,
) -> Collected:
    total = sum(split.num_examples for split in data.info.splits)
    with ProgressReporter("exploring", total=total, unit="segments") as progress:
        return collect(
            data,
            roles=roles,
            band_splits=band_splits,
            sample=sample_tracks(tables.tracks, most=config.projection_tracks, seed=config.seed),
            batch_size=config.batch_size,
            progress=progress,
        )


def _example_entries(
    tables: Tables, summary: Summary, *, config: ExploreConfig, events: EventWriter
) -> list[ExampleEntry | MissingEntry]:
    """Returns what the page shows of each genre, and writes the same to the events."""
    genres = [genre for genre in summary.ranked_genres if summary.amounts[genre, ALL_SPLITS].tracks > 0]
    genres = genres[: config.example_genres]
    entries: list[ExampleEntry | MissingEntry] = []
    examples = find_examples(
        tables.tracks,
        genres=genres,
        data_dir=config.data_dir,
        settings=tables.settings,
        duration_s=config.example_duration_s,
        seed=config.seed,
    )
    with ProgressReporter("reading examples", total=len(genres), unit="genres") as progress:
        for num_done, example in enumerate(examples, start=1):
            if isinstance(example, Example):
                picture = example_picture(example)
                events.write_picture(picture)
                events.write_example(example)
                entries.append(
                    ExampleEntry(
                        genre=example.genre,
                        track_id=example.track.track_id,
                        start_s=example.start_s,
                        wav=encode_wav(example.samples, sample_rate_hz=example.sample_rate_hz),
                        picture=picture,
                    )
                )
            else:
                entries.append(MissingEntry(genre=example.genre, missing=example))
            progress.update(completed=num_done)
    return entries
