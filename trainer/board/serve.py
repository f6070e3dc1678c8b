"""`beamtune tensorboard`: TensorBoard on the folders of runs, for this machine alone."""

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
from trainer.board.config import LOCAL_HOSTS, TensorboardConfig
from trainer.common import files


def serve(paths: Sequence[str], *, config: TensorboardConfig) -> None:
    """Runs TensorBoard until Ctrl-C.

    Args:
        paths: Runs, or folders with runs in them: one, local or gs://, or several local ones.
        config: Where it listens.

    Raises:
        UserError: A folder is not there, several cannot be shown together, or the port is taken.
    """
    if config.host not in LOCAL_HOSTS:
        print(
            f"warning: host={config.host}: whoever reaches this machine can read these runs and hear their music; "
            "TensorBoard has neither password nor encryption",
            file=sys.stderr,
        )
    with one_folder(paths) as folder:
        address = start(folder, config=config)
        print(f"TensorBoard shows {', '.join(paths)} at {address} (Ctrl-C ends it)", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("ended")


def start(folder: str, *, config: TensorboardConfig) -> str:
    """Starts TensorBoard in a thread of this process, which ends with it; returns its address.

    Raises:
        UserError: It cannot listen there.
    """
    board = program.TensorBoard()
    board.configure(argv=("beamtune", "--logdir", folder, "--host", config.host, "--port", str(config.port)))
    try:
        # It explains how its fast reader can be turned off.
        with redirect_stderr(io.StringIO()):
            return str(board.launch())
    except program.TensorBoardServerException as error:
        reason = error.msg
    except OSError as error:
        reason = str(error.strerror)
    except SystemExit as error:
        # How the server ends where it cannot listen, from within the handler of the error that says why.
        reason = str(getattr(error.__context__, "strerror", None) or "the server does not start")
    raise UserError(f"host={config.host} port={config.port}: {reason}: choose others, e.g. port=0")


@contextmanager
def one_folder(paths: Sequence[str]) -> Iterator[str]:
    """Gives one folder that holds all of these while the body runs.

    Several are put together by links in a folder of their own, under the shortest names that tell them apart: the
    projector and the fast reader of TensorBoard take one folder only.

    Args:
        paths: One folder, local or gs://, or several local ones.

    Raises:
        UserError: One is not there, or several are not all local.
    """
    for path in paths:
        check(files.exists(path), key="RUNS", value=path, expected="a folder that is there")
    if len(paths) == 1:
        yield paths[0]
        return
    for path in paths:
        check("://" not in path, key="RUNS", value=path, expected="local folders where there are several")
    with tempfile.TemporaryDirectory(prefix="beamtune-tensorboard-") as links:
        for name, path in _names(paths).items():
            link = os.path.join(links, name)
            os.makedirs(os.path.dirname(link), exist_ok=True)
            os.symlink(path, link)
        yield links


def _names(paths: Sequence[str]) -> dict[str, str]:
    """Returns absolute paths by their names below the deepest folder that holds them all; what is in another is not."""
    absolute = sorted({os.path.realpath(path) for path in paths})
    outer = [path for path in absolute if not any(path.startswith(other + os.sep) for other in absolute)]
    shared = os.path.dirname(outer[0]) if len(outer) == 1 else os.path.commonpath(outer)
    return {os.path.relpath(path, shared): path for path in outer}
