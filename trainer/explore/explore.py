"""`beamtune explore`: describes a prepared data set in an HTML page and in TensorBoard events."""

from collections.abc import Sequence

from beam_pipelines.audio.encode import encode_wav
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.lease import holding
from beam_pipelines.common.progress import ProgressReporter
from beam_pipelines.common.terminal import counted, say_step
from beam_pipelines.records.schema import TRAIN
from trainer.common import files
from trainer.common.event_files import EventFile, remove_event_files
from trainer.common.output_folder import check_output_dir, directory_name, write_texts
from trainer.data.prepared import PreparedData, open_prepared
from trainer.explore.audio_examples import AudioExample, MissingExample, find_examples
from trainer.explore.config import ExploreConfig
from trainer.explore.dataset_summary import ALL_SPLITS, DatasetSummary, summarize
from trainer.explore.events import EVENTS_DIR, write_example, write_picture, write_tables
from trainer.explore.feature_figures import band_pictures, example_picture, projection_picture
from trainer.explore.feature_statistics import FeatureStatistics, compute_statistics, sample_tracks
from trainer.explore.page import ExampleEntry, Pictures, render_page
from trainer.explore.plotted_features import PlottedFeatures, find_plotted_features
from trainer.explore.prepared_tables import Tables, read_tables
from trainer.explore.projection import project
from trainer.explore.track_figures import (
    durations_picture,
    groups_picture,
    loudness_picture,
    rejects_picture,
    tracks_picture,
)

PAGE_FILE = "index.html"


def explore(config: ExploreConfig) -> None:
    """Writes the page and the events, and prints their paths.

    The same data set, settings and library versions give the same page, byte for byte.

    Raises:
        UserError: There is no finished data set, a table of it is damaged, or the output cannot be written or is in
            use by another command.
        RunFailedError: A shard is damaged.
    """
    data = open_prepared(config.data_dir)
    tables = read_tables(config.data_dir)
    summary = summarize(tables.tracks, genres=data.labels)
    output_dir = (
        files.join("explore", directory_name(config.data_dir)) if config.output_dir is None else config.output_dir
    )
    events_dir = files.join(output_dir, EVENTS_DIR)
    check_output_dir(output_dir, written=EVENTS_DIR, command="explore")
    with holding(output_dir, key="output_dir") as lease:
        page = _write_events(events_dir, data, tables, summary, config=config)
        lease.check()
        write_texts(output_dir, {PAGE_FILE: page})
    total = summary.totals[ALL_SPLITS]
    page_path = files.join(output_dir, PAGE_FILE)
    print(f"{page_path}: {total.tracks} tracks of {len(summary.genres)} genres, {counted(total.segments, 'segment')}")
    print(f"to see the same in TensorBoard: beamtune tensorboard {events_dir}")


def _write_events(
    events_dir: str, data: PreparedData, tables: Tables, summary: DatasetSummary, *, config: ExploreConfig
) -> str:
    """Writes the events, in place of earlier ones; returns the page."""
    try:
        remove_event_files(events_dir)
        events = EventFile(events_dir)
    except files.FileError as error:
        raise UserError(f"{events_dir} cannot be written to: {error.message}") from error
    with events:
        write_tables(events, data, tables, summary)
        say_step(f"reading the features of {data.path} and drawing the charts")
        pictures = _pictures(data, tables, summary, config=config)
        for picture in pictures.all():
            write_picture(events, picture)
        entries = _example_entries(tables, summary, config=config, events=events)
    return render_page(
        name=directory_name(config.data_dir),
        data=data,
        tables=tables,
        summary=summary,
        pictures=pictures,
        examples=entries,
        example_duration_s=config.example_duration_s,
    )


def _pictures(data: PreparedData, tables: Tables, summary: DatasetSummary, *, config: ExploreConfig) -> Pictures:
    plotted = find_plotted_features(data.specs, tables.preparation)
    band_splits = (TRAIN,) if TRAIN in summary.splits else summary.splits
    statistics = _collect(data, tables, summary, plotted=plotted, band_splits=band_splits, config=config)
    projection = None if statistics.vectors is None else project(statistics.vectors)
    return Pictures(
        clips=tracks_picture(summary),
        durations=durations_picture(summary, tables.tracks),
        loudness=loudness_picture(summary, tables.tracks),
        groups=groups_picture(summary, group_word=tables.group_word),
        rejects=rejects_picture(summary, tables.rejects) if tables.rejects else None,
        bands=[
            picture
            for feature in plotted.bands
            for picture in band_pictures(
                feature,
                statistics.genre_bands[feature.spec.name],
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
    summary: DatasetSummary,
    *,
    plotted: PlottedFeatures,
    band_splits: Sequence[str],
    config: ExploreConfig,
) -> FeatureStatistics:
    total = sum(split.num_examples for split in data.info.splits)
    with ProgressReporter("exploring", total=total, unit="segments") as progress:
        return compute_statistics(
            data,
            plotted=plotted,
            band_splits=band_splits,
            sample=sample_tracks(tables.tracks, most=config.projection_tracks, seed=config.seed),
            batch_size=config.batch_size,
            progress=progress,
        )


def _example_entries(
    tables: Tables, summary: DatasetSummary, *, config: ExploreConfig, events: EventFile
) -> list[ExampleEntry | MissingExample]:
    """Returns the example of each genre, and writes it to the events."""
    genres = [genre for genre in summary.ranked_genres if summary.counts[genre, ALL_SPLITS].tracks > 0]
    genres = genres[: config.example_genres]
    entries: list[ExampleEntry | MissingExample] = []
    examples = find_examples(
        tables.tracks,
        genres=genres,
        data_dir=config.data_dir,
        preparation=tables.preparation,
        duration_s=config.example_duration_s,
        seed=config.seed,
    )
    with ProgressReporter("reading examples", total=len(genres), unit="genres") as progress:
        for num_done, example in enumerate(examples, start=1):
            if isinstance(example, AudioExample):
                picture = example_picture(example, number=num_done)
                wav = encode_wav(example.samples, sample_rate_hz=example.sample_rate_hz)
                write_picture(events, picture)
                write_example(events, example, wav)
                entries.append(ExampleEntry(example=example, wav=wav, picture=picture))
            else:
                entries.append(example)
            progress.update(completed=num_done)
    return entries
