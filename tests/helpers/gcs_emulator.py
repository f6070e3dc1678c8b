"""The command line of scripts/gcs-emulator."""

import argparse
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType

from gcs import access_log, environment
from gcs.process import GcsProcess

_NOT_FOUND = 127
_ENDING = (signal.SIGTERM, signal.SIGHUP)
# How long the command has to end after SIGTERM. Those of beamtune take at most 10 s.
_END_S = 12.0
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")


def main() -> int:
    """Starts the emulator and runs a command in it, or serves until it is interrupted; returns the exit status."""
    options = _parse()
    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as for a child process of nohup
            signal.signal(number, _end)
    with tempfile.TemporaryDirectory(prefix="gcs-emulator-") as folder:
        try:
            emulator = GcsProcess(Path(folder), port=options.port)
        except RuntimeError as error:
            print(f"scripts/gcs-emulator: {error}", file=sys.stderr)
            return 2
        with emulator:
            for bucket in options.bucket or ["demo"]:
                emulator.make_bucket(bucket)
            status = _run(options.command, emulator) if options.command else _serve(emulator)
            if options.log:
                shutil.copyfile(emulator.log_path, options.log)
            if options.counts:
                _print_counts(emulator.log_path)
    return status


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/gcs-emulator", add_help=False, allow_abbrev=False)
    parser.add_argument("--bucket", action="append", type=_bucket)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=_log_path)
    parser.add_argument("--counts", action="store_true")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    return parser.parse_args()


def _bucket(text: str) -> str:
    if not _BUCKET.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text}: expected the name of a bucket, such as demo")
    return text


def _log_path(text: str) -> Path:
    path = Path(text)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: expected a file in a folder that exists")
    return path


def _end(number: int, frame: FrameType | None) -> None:
    for other in _ENDING:
        signal.signal(other, signal.SIG_IGN)
    raise SystemExit(128 + number)


def _run(command: list[str], emulator: GcsProcess) -> int:
    try:
        process = subprocess.Popen(command, env=emulator.environment())
    except OSError as error:
        print(f"scripts/gcs-emulator: {command[0]}: {error.strerror}", file=sys.stderr)
        return _NOT_FOUND
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command
        status = process.wait()
    except SystemExit:
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:  # an interactive shell ignores SIGTERM
            process.kill()
            process.wait()
        raise
    return status if status >= 0 else 128 - status


def _serve(emulator: GcsProcess) -> int:
    print(f"unset {' '.join(environment.REMOVED)}")
    for name, value in environment.variables(emulator.folder, emulator.port).items():
        print(f"export {name}={shlex.quote(value)}")
    print("# Paste these lines into another shell; gs:// is then the emulator. Ctrl-C here ends it.", flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print()
    return 0


def _print_counts(log_path: Path) -> None:
    found = access_log.count(access_log.read(log_path))
    print(
        f"{found.requests} requests: {found.class_a} class A, {found.class_b} class B, {found.free} free; "
        f"{found.sent_bytes:,} bytes up, {found.received_bytes:,} bytes down",
        file=sys.stderr,
    )


if __name__ == "__main__":
    sys.exit(main())
