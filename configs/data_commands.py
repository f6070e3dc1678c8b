"""The commands for music and data sets: synthesize, download, sync, prepare, convert, explore.

Each imports what it needs when it runs, so that `--help` stays fast.
"""

import sys
from dataclasses import asdict

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.extras import check_installed
from configs.command import Command, Invocation, load_config
from configs.early_checks import check_data, check_dataset, check_music
from configs.nearby_runs import nearby_data
from configs.next_steps import after_prepare, after_synthesize, name_of, say_loading, show_next


def _synthesize(invocation: Invocation) -> int:
    from beam_pipelines.common.terminal import counted
    from beam_pipelines.datasets.config import SynthesizeConfig

    say_loading("Apache Beam")
    config = load_config(SynthesizeConfig, "synthesize", invocation.overrides)
    from beam_pipelines.datasets.synthetic import write_tracks

    tracks = write_tracks(config.dataset, num_workers=config.num_workers)
    genres = counted(len({track.genre for track in tracks}), "genre")
    print(f"{counted(len(tracks), 'track')} of {genres}: {config.dataset.root}")
    show_next(after_synthesize(asdict(config.dataset)))
    return 0


def _download(invocation: Invocation) -> int:
    from beam_pipelines.download.config import DownloadConfig

    config = load_config(DownloadConfig, "download", invocation.overrides)
    from beam_pipelines.download.fetch import download

    download(config)
    return 0


def _prepare(invocation: Invocation) -> int:
    from beam_pipelines.prepare.config import PrepareConfig

    say_loading("Apache Beam")
    config = load_config(PrepareConfig, "prepare", invocation.overrides, dry_run=invocation.dry_run)
    if not any(word.startswith(("dataset=", "dataset.")) for word in invocation.overrides):
        print(
            "note: no dataset was named, so that beamtune composes music (dataset=synthetic); for music of your own: "
            "beamtune prepare dataset=folder dataset.root=FOLDER",
            file=sys.stderr,
        )
    check_dataset(config.dataset, output_dir=config.output_dir)
    if invocation.dry_run:
        from beam_pipelines.prepare.dry_run import dry_run

        dry_run(config, stream=sys.stdout)
        return 0
    from beam_pipelines.prepare.pipeline import prepare

    prepare(config)
    show_next(after_prepare(config.output_dir, config.features))
    return 0


def _convert(invocation: Invocation) -> int:
    from beam_pipelines.convert.config import ConvertConfig

    say_loading("Apache Beam")
    config = load_config(ConvertConfig, "convert", invocation.overrides)
    check_music(config.source, key="source", output_dir=config.output_dir)
    from beam_pipelines.convert.pipeline import convert

    convert(config)
    prepared = f"output_dir=prepared/{name_of(config.output_dir)}"
    show_next(["prepare", "dataset=folder", f"dataset.root={config.output_dir}", prepared])
    return 0


def _sync(invocation: Invocation) -> int:
    from beam_pipelines.sync.config import SyncConfig

    if len(invocation.paths) not in (0, 2) or not (invocation.paths or invocation.overrides):
        raise UserError(f"expected a source and a destination, got {len(invocation.paths)}: beamtune sync SRC DST")
    folders = [f"{key}={path}" for key, path in zip(("source", "destination"), invocation.paths, strict=False)]
    config = load_config(SyncConfig, "sync", [*folders, *invocation.overrides], dry_run=invocation.dry_run)
    from beam_pipelines.common.bucket_access import check_access
    from beam_pipelines.sync.sync import sync

    if invocation.dry_run:
        check_access(read=[config.destination])  # which is not written, but compared
    sync(config, dry_run=invocation.dry_run, stream=sys.stdout)
    return 0


def _explore(invocation: Invocation) -> int:
    from trainer.explore.config import ExploreConfig

    if not any(word.startswith("data_dir=") for word in invocation.overrides):
        raise UserError(f"explore needs a prepared data set: beamtune explore DATA_DIR{nearby_data()}")
    say_loading("TensorFlow and the libraries that draw the page")
    config = load_config(ExploreConfig, "explore", invocation.overrides)
    check_installed("jinja2", "matplotlib", "sklearn")
    check_data(config.data_dir)
    from trainer.explore.explore import explore

    explore(config)
    return 0


COMMANDS = (
    Command(
        name="synthesize",
        summary="generate the synthetic data set: mp3 files of five genres by fictitious artists",
        description=(
            "Generates music and writes it as mp3 files with a table of the tracks. The same settings produce the\n"
            "same files, byte for byte. Existing files are kept.\n\n"
            "settings: dataset.root, dataset.artists_per_genre, dataset.tracks_per_artist, dataset.duration_s,\n"
            "          dataset.seed, num_workers"
        ),
        examples=(
            "beamtune synthesize",
            "beamtune synthesize dataset.root=/tmp/music dataset.artists_per_genre=12 dataset.seed=1",
        ),
        run=_synthesize,
        extras=("beam",),
    ),
    Command(
        name="download",
        summary="download a published data set, check it and extract it",
        description=(
            "Downloads an archive, checks its SHA-1 and extracts it. If the download is interrupted, the same command\n"
            "resumes it. The archive is deleted after it is extracted, unless keep_archive=true.\n\n"
            "names:    fma_small    7.2 GiB, 8,000 clips of 30 s, 8 balanced genres\n"
            "          fma_medium   22 GiB, 25,000 clips of 30 s, 16 unbalanced genres\n"
            "          fma_large    93 GiB, 106,574 clips of 30 s, 161 genres\n"
            "          fma_full     879 GiB, 106,574 untrimmed tracks, 161 genres\n"
            "          fma_metadata 342 MiB, genres, artists and splits; all of the above need it\n"
            "          gtzan        cannot be downloaded; checks your own copy at gtzan_path\n"
            "settings: root (the folder to download to), keep_archive, base_url, gtzan_path"
        ),
        examples=(
            "beamtune download fma_metadata",
            "beamtune download fma_small root=data/fma keep_archive=true",
            "beamtune download gtzan gtzan_path=genres.tar.gz",
        ),
        run=_download,
        positional_words=("fma_metadata", "fma_small", "fma_medium", "fma_large", "fma_full", "gtzan"),
        positional_key="name",
    ),
    Command(
        name="sync",
        summary="copy a folder to a bucket, or from one: only what differs",
        description=(
            "Copies the files below SRC to DST, so that DST/a/b.mp3 is equal to SRC/a/b.mp3. At least one of both is\n"
            "in a bucket of Google Cloud Storage (gs://). Files with the same size and checksum (CRC32C) in both are\n"
            "not copied. If the command is interrupted, the same command resumes it.\n\n"
            "Files that are only in DST are kept, unless delete=true. --dry-run lists what would be copied and\n"
            "deleted, and writes nothing. Temporary files and locks of running commands are not copied.\n\n"
            "settings: delete, num_workers (files, or parts of large files, that are copied at a time),\n"
            "          storage.retry_deadline_s"
        ),
        examples=(
            "beamtune sync ~/Music gs://my-bucket/music",
            "beamtune sync ~/Music gs://my-bucket/music delete=true --dry-run",
            "beamtune sync gs://my-bucket/runs/first runs/first",
            "beamtune sync gs://my-bucket/prepared gs://other-bucket/prepared num_workers=32",
        ),
        run=_sync,
        paths_usage="SRC DST",
        has_dry_run=True,
        extras=("cloud",),
    ),
    Command(
        name="prepare",
        summary="convert audio to sharded TFRecords, with no artist in two splits",
        description=(
            "Decodes audio, cuts it into segments, computes features and writes sharded TFRecords, as an Apache Beam\n"
            "pipeline. If the run is interrupted, the same command resumes it. Files that cannot be used are listed\n"
            "in rejects.jsonl. --dry-run processes one clip and prints shapes, sizes and times.\n\n"
            "No artist and no recording is in two splits; duplicates.jsonl lists tracks with the same recording.\n\n"
            "groups:   dataset=synthetic|folder|csv|gtzan|fma   split=auto|official|fault_filtered|group|random\n"
            "          features=embedding|log_mel|mfcc|musicnn|musicnn_log_mel|spectral_stats|waveform|yamnet|\n"
            "          yamnet_log_mel|[log_mel,mfcc]\n"
            "          runner=direct|dask|dataflow|portable\n"
            "settings: output_dir, overwrite, seed, max_reject_fraction, dataset.*, split.*, audio.*, segment.*,\n"
            "          duplicates.*, features.<name>.*, shards.*, runner.*"
        ),
        examples=(
            "beamtune prepare",
            "beamtune prepare dataset=folder dataset.root=~/Music features=log_mel output_dir=prepared/mine",
            "beamtune prepare dataset=csv dataset.path=tracks.csv 'features=[log_mel,mfcc]' segment.duration_s=5",
            "beamtune prepare dataset=folder dataset.root=~/Music --dry-run",
            "beamtune prepare dataset=gtzan dataset.root=genres.tar.gz output_dir=prepared/gtzan",
            "beamtune prepare dataset=fma dataset.subset=small split.folds=5 split.fold=0 output_dir=prepared/fma-0",
        ),
        run=_prepare,
        extras=("beam",),
        decodes_audio=True,
        has_dry_run=True,
    ),
    Command(
        name="convert",
        summary="convert a folder of audio files to WAV or FLAC",
        description=(
            "Converts every audio file of a folder to 16-bit WAV or FLAC and keeps the layout of the folder, as an\n"
            "Apache Beam pipeline. If the run is interrupted, the same command resumes it. Later runs convert only\n"
            "new and changed files. Files that cannot be used are listed in rejects.jsonl.\n\n"
            "groups:   runner=direct|dask|dataflow|portable\n"
            "settings: source, output_dir, format=wav|flac, sample_rate_hz, channels=1|2, max_duration_s, overwrite,\n"
            "          runner.*"
        ),
        examples=(
            "beamtune convert source=~/Music output_dir=converted/wav",
            "beamtune convert source=~/Music output_dir=converted/flac format=flac sample_rate_hz=16000 channels=1",
        ),
        run=_convert,
        extras=("beam",),
        decodes_audio=True,
    ),
    Command(
        name="explore",
        summary="show a prepared data set: an HTML page with charts, tables and audio, and TensorBoard events",
        description=(
            "Writes one self-contained HTML file, and the same for TensorBoard: tracks by genre and split, durations,\n"
            "loudness, groups, mean spectra of genres, a principal component analysis of the tracks, an example of\n"
            "each genre as audio and spectrogram, rejected tracks, and duplicates.\n\n"
            "settings: output_dir, seed, projection_tracks, example_genres, example_duration_s, batch_size"
        ),
        examples=(
            "beamtune explore prepared/mine",
            "beamtune explore prepared/mine output_dir=explore/first example_genres=5 seed=1",
        ),
        run=_explore,
        extras=("train", "explore"),
        positional_key="data_dir",
        decodes_audio=True,
    ),
)
