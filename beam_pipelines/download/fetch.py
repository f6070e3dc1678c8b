"""`beamtune download`: from a name to a folder of audio that `beamtune prepare` reads."""

import os
import shlex

from beam_pipelines.common.errors import UserError
from beam_pipelines.download.catalog import ARCHIVES, FMA_METADATA, GTZAN, RemoteArchive
from beam_pipelines.download.config import DownloadConfig
from beam_pipelines.download.disk import require_free_space, writing
from beam_pipelines.download.extract import extract_archive
from beam_pipelines.download.gtzan import check_gtzan
from beam_pipelines.download.http_file import DEFAULT_POLICY, RetryPolicy, download_file
from beam_pipelines.download.lock import locked
from beam_pipelines.download.progress import PhasedProgress


def download(config: DownloadConfig, *, policy: RetryPolicy = DEFAULT_POLICY) -> None:
    """Fetches, checks and unpacks what the configuration names, and prints what to do with it.

    What is there already is not fetched again, and what was broken off goes on where it stopped.

    Raises:
        UserError: The address, the file there, the folder or the user's own copy is not as expected.
        RunFailedError: The server cannot be reached.
    """
    if config.name == GTZAN:
        check_gtzan(config.gtzan_path)
        return
    archive = ARCHIVES[config.name]
    folder = os.path.join(config.root, archive.name)
    if os.path.isdir(folder):
        print(f"{folder} is there already")
    elif os.path.lexists(folder):
        raise UserError(f"{folder} is no folder: expected nothing there, or what was downloaded; move it away")
    else:
        _require_room(archive, config.root)
        with writing(config.root):
            os.makedirs(config.root, exist_ok=True)
        with locked(os.path.join(config.root, f".{archive.name}.lock")):
            _fetch(archive, folder, config=config, policy=policy)
        print(f"{folder}: {archive.content}")
    print(_next_step(archive, root=config.root))


def _fetch(archive: RemoteArchive, folder: str, *, config: DownloadConfig, policy: RetryPolicy) -> None:
    path = os.path.join(config.root, archive.filename)
    with PhasedProgress(archive.filename, estimated_bytes=archive.size_bytes) as progress:
        download_file(
            f"{config.base_url.rstrip('/')}/{archive.filename}",
            path,
            sha1=archive.sha1,
            # The sizes of the catalog are rounded.
            max_bytes=archive.size_bytes * 5 // 4,
            on_progress=progress.update,
            on_retry=progress.log,
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


def _require_room(archive: RemoteArchive, root: str) -> None:
    path = os.path.join(root, archive.filename)
    present_bytes = max(_size_bytes(path), _size_bytes(f"{path}.partial"))
    require_free_space(
        root,
        needed_bytes=max(0, archive.size_bytes - present_bytes) + archive.max_extracted_bytes,
        purpose=f"downloading and unpacking {archive.filename}",
    )


def _size_bytes(path: str) -> int:
    return os.path.getsize(path) if os.path.isfile(path) else 0


def _next_step(archive: RemoteArchive, *, root: str) -> str:
    """Returns what to do next: get what is missing still, or prepare what is there."""
    present = [name for name in ARCHIVES if name != FMA_METADATA and os.path.isdir(os.path.join(root, name))]
    where = shlex.quote(f"root={root}")
    if archive.name != FMA_METADATA and not os.path.isdir(os.path.join(root, FMA_METADATA)):
        return f"its genres are in another archive: beamtune download {FMA_METADATA} {where}"
    if not present:
        return f"the audio is in other archives: beamtune download fma_small {where}"
    audio = archive.name if archive.name in present else present[0]
    subset = audio.removeprefix("fma_")
    return f"next: beamtune prepare dataset=fma {shlex.quote(f'dataset.root={root}')} dataset.subset={subset}"
