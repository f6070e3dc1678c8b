"""`beamtune download`: downloads and extracts an archive to a folder that `beamtune prepare` reads."""

import os
import shutil

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.lease import holding
from beam_pipelines.common.terminal import next_steps
from beam_pipelines.download.catalog import ARCHIVES, FMA_METADATA, GTZAN, RemoteArchive
from beam_pipelines.download.check_gtzan import check_gtzan
from beam_pipelines.download.config import DownloadConfig
from beam_pipelines.download.disk import writing
from beam_pipelines.download.download_progress import DownloadProgress
from beam_pipelines.download.extract import extract_archive
from beam_pipelines.download.http_download import DEFAULT_POLICY, RetryPolicy, download_file


def download(config: DownloadConfig, *, policy: RetryPolicy = DEFAULT_POLICY) -> None:
    """Downloads, checks and extracts an archive, and prints the next command.

    An archive that is extracted already is not downloaded again. An interrupted download resumes.

    Raises:
        UserError: The address, the file on the server, the folder or the user's own copy is not as expected.
        RunFailedError: The server cannot be reached.
    """
    if config.name == GTZAN:
        check_gtzan(config.gtzan_path)
        return
    archive = ARCHIVES[config.name]
    folder = os.path.join(config.root, archive.name)
    if os.path.isdir(folder):
        print(f"{folder} exists already")
    elif os.path.lexists(folder):
        raise UserError(f"{folder} is not a folder: expected a free path, or the extracted archive; move it away")
    else:
        _check_free_space(archive, config.root)
        # Of the archive and not of the folder, so that audio and metadata can be downloaded at the same time.
        with holding(config.root, key="root", name=f".{archive.name}.lock"):
            if not os.path.isdir(folder):  # another process may have just released the lease
                _fetch(archive, folder, config=config, policy=policy)
        print(f"{folder}: {archive.description}")
    print(_next_step(archive, root=config.root))


def _fetch(archive: RemoteArchive, folder: str, *, config: DownloadConfig, policy: RetryPolicy) -> None:
    path = os.path.join(config.root, archive.filename)
    with DownloadProgress(archive.filename, estimated_bytes=archive.size_bytes) as progress:
        download_file(
            f"{config.base_url.rstrip('/')}/{archive.filename}",
            path,
            sha1=archive.sha1,
            # The published sizes are rounded.
            max_bytes=archive.size_bytes * 5 // 4,
            progress=progress,
            policy=policy,
        )
        extract_archive(
            path,
            folder,
            max_bytes=archive.max_extracted_bytes,
            top_folder=archive.name,
            on_progress=progress.update,
        )
    if not config.keep_archive:
        with writing(path):
            os.unlink(path)


def _check_free_space(archive: RemoteArchive, root: str) -> None:
    """Raises a UserError if the disk has too little space for the archive and its files."""
    path = os.path.join(root, archive.filename)
    present_bytes = max(_size_bytes(path), _size_bytes(f"{path}.partial"))
    needed_bytes = max(0, archive.size_bytes - present_bytes) + archive.max_extracted_bytes
    existing = os.path.abspath(root)
    while not os.path.isdir(existing):
        existing = os.path.dirname(existing)
    free_bytes = shutil.disk_usage(existing).free
    if free_bytes < needed_bytes:
        raise UserError(
            f"{root}: downloading and extracting {archive.filename} needs {needed_bytes / 2**30:.1f} GiB and "
            f"{free_bytes / 2**30:.1f} GiB are free: free some space, or choose a folder on another disk"
        )


def _size_bytes(path: str) -> int:
    return os.path.getsize(path) if os.path.isfile(path) else 0


def _next_step(archive: RemoteArchive, *, root: str) -> str:
    """Returns the command to run next: one that downloads what is missing, or one that prepares the data."""
    present = [name for name in ARCHIVES if name != FMA_METADATA and os.path.isdir(os.path.join(root, name))]
    if archive.name != FMA_METADATA and not os.path.isdir(os.path.join(root, FMA_METADATA)):
        return next_steps(["download", FMA_METADATA, f"root={root}"])[0]
    if not present:
        return next_steps(["download", "fma_small", f"root={root}"])[0]
    audio = archive.name if archive.name in present else present[0]
    subset = audio.removeprefix("fma_")
    return next_steps(["prepare", "dataset=fma", f"dataset.root={root}", f"dataset.subset={subset}"])[0]
