"""`beamtune tensorboard`: serves the folders of runs with TensorBoard, by default to this machine only."""

import io
import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr

from tensorboard import program

from beam_pipelines.common.checks import check
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.paths import is_in_bucket, is_local
from beam_pipelines.records.schema import DATASET_INFO_FILE
from trainer.board.config import LOCAL_HOSTS, TensorboardConfig
from trainer.common import files
from trainer.common.scalar_events import EVENT_FILE_MARK


def serve(paths: Sequence[str], *, config: TensorboardConfig) -> None:
    """Runs TensorBoard until Ctrl-C.

    Args:
        paths: Folders of runs, or folders that contain them: one, local or gs://, or several local ones.
        config: The address to listen on.

    Raises:
        UserError: A folder does not exist, several are not all local, or the port is in use.
    """
    if config.host not in LOCAL_HOSTS:
        print(
            f"warning: host={config.host}: anyone who can connect to this machine can read these runs and play their "
            "audio; TensorBoard has neither password nor encryption",
            file=sys.stderr,
        )
    for path in paths:
        if files.exists(files.join(path, DATASET_INFO_FILE)):
            raise UserError(
                f"{path} is a prepared data set, which has no curves: give folders of runs; beamtune explore {path} "
                "output_dir=… shows the data"
            )
    with one_folder(paths) as folder:
        address = start(folder, config=config)
        print(f"TensorBoard shows {', '.join(paths)} at {address} (Ctrl-C stops it)", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("stopped")


def start(folder: str, *, config: TensorboardConfig) -> str:
    """Starts TensorBoard in a daemon thread of this process; returns its URL.

    Raises:
        UserError: It cannot listen on this address.
    """
    board = program.TensorBoard()
    words = ["beamtune", "--logdir", folder, "--host", config.host, "--port", str(config.port)]
    if is_in_bucket(folder):
        # The fast reader sends no credentials: https://github.com/tensorflow/tensorboard/issues/5850
        words.append("--load_fast=false")
    board.configure(argv=words)
    try:
        # TensorBoard prints how to disable its fast data loader.
        with redirect_stderr(io.StringIO()):
            return str(board.launch())
    except program.TensorBoardServerException as error:
        reason = error.msg
    except OSError as error:
        reason = str(error.strerror)
    except SystemExit as error:
        # The server exits when it cannot listen; the error that says why is the context of the exit.
        reason = str(getattr(error.__context__, "strerror", None) or "the server does not start")
    raise UserError(f"host={config.host} port={config.port}: {reason}: choose others, e.g. port=0")


@contextmanager
def one_folder(paths: Sequence[str]) -> Iterator[str]:
    """Yields one folder that contains all of these while the body runs.

    For several folders it is a temporary one with links, named by the shortest paths that are different: the projector
    and the fast data loader of TensorBoard accept one folder only. For a local folder with events of its own, too:
    TensorBoard would call this run ".".

    Args:
        paths: One folder, local or gs://, or several local ones.

    Raises:
        UserError: One does not exist, or several are not all local.
    """
    for path in paths:
        check(files.exists(path), key="RUNS", value=path, expected="a folder that exists")
    if len(paths) == 1 and (is_in_bucket(paths[0]) or not _has_events(paths[0])):
        yield paths[0]
        return
    for path in paths:
        check(is_local(path), key="RUNS", value=path, expected="local folders when there are several")
    with tempfile.TemporaryDirectory(prefix="beamtune-tensorboard-") as links:
        for name, path in _link_names(paths).items():
            link = os.path.join(links, name)
            os.makedirs(os.path.dirname(link), exist_ok=True)
            os.symlink(path, link)
        yield links


def _has_events(path: str) -> bool:
    return any(EVENT_FILE_MARK in name for name in files.list_dir(path))


def _link_names(paths: Sequence[str]) -> dict[str, str]:
    """Returns absolute paths by their path relative to the deepest common folder; paths inside another are left out."""
    absolute = sorted({os.path.realpath(path) for path in paths})
    outer = [path for path in absolute if not any(path.startswith(other + os.sep) for other in absolute)]
    shared = os.path.dirname(outer[0]) if len(outer) == 1 else os.path.commonpath(outer)
    return {os.path.relpath(path, shared): path for path in outer}
