"""`beamtune serve` under load: clients that send files of 3 s to 5 min, a tenth of them hostile.

    scripts/bench serve RUN [MUSIC]
    scripts/bench serve runs/mine ~/Music --clients 50 --seconds 60

RUN is a finished run or an export. MUSIC, mp3 files in folders below it, is cut and joined to files of the durations.
The service is a process of its own, and the clients are on the same machine. A client that gets 503 waits as long as
the service says. Beside each duration is the time of decoding and predicting a file alone.
"""

import argparse
import io
import itertools
import json
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import numpy as np
import requests
import soundfile

REAL_MUSIC = Path(__file__).resolve().parents[3] / "shared" / "data" / "magnatune4"
DURATIONS_S = (3, 10, 30, 60, 300)
HOSTILE = "hostile"
RATE_HZ = 44_100
TIMEOUT_S = 300
# Until then libraries allocate what they keep.
WARM_UP_SHARE = 0.25


@dataclass
class Tally:
    """What the clients have seen.

    Attributes:
        statuses: Responses by kind of file and status; 0 is a connection that was lost.
        durations_s: Seconds of requests with a result, by kind of file.
    """

    statuses: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    durations_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, kind: str, status: int, duration_s: float) -> None:
        with self.lock:
            self.statuses[kind][status] += 1
            if status == 200:
                self.durations_s[kind].append(duration_s)


def main() -> None:
    """Prints the responses by status, the times of requests, and the memory of the process."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench serve", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", help="a finished run, or an export")
    parser.add_argument("music", nargs="?", default=str(REAL_MUSIC), help="mp3 files, in folders below it")
    parser.add_argument("--clients", type=int, default=50, help="clients at the same time")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long they send files")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = make_files(arguments.music, Path(folder))
        alone_s = measure_alone(arguments.run, paths)
        with serving(arguments.run) as (process, url):
            tally, rss_mib = send_files(
                url, process.pid, paths, num_clients=arguments.clients, duration_s=arguments.seconds
            )
    print_table(tally, alone_s, duration_s=arguments.seconds)
    print(f"memory of the process: {rss_mib[0]:.0f} MiB after the warm-up, {rss_mib[1]:.0f} MiB at the end")


def make_files(music: str, folder: Path) -> dict[str, list[Path]]:
    """Writes mp3 files of each duration, and hostile files; returns them by kind."""
    sources = sorted(Path(music).rglob("*.mp3"))[:12]
    samples = np.concatenate([read_stereo(path) for path in sources])
    found: dict[str, list[Path]] = {}
    for duration_s in DURATIONS_S:
        length = duration_s * RATE_HZ
        starts = range(0, len(samples) - length + 1, max(length, 10 * RATE_HZ))
        kind = f"{duration_s} s"
        found[kind] = [folder / f"{duration_s}-{index}.mp3" for index, _ in zip(range(4), starts, strict=False)]
        for path, start in zip(found[kind], starts, strict=False):
            soundfile.write(path, samples[start : start + length], RATE_HZ)
    song = found["30 s"][0].read_bytes()
    contents = {
        "empty": b"",
        "random": random.Random(0).randbytes(1 << 20),  # noqa: S311
        "cut": song[: len(song) // 3],
        "zip": zip_bomb(),
        "large": bytes(65 << 20),
        "flac-lies": b"fLaC\x80\x00\x00\x22" + b"\xff" * 34,
    }
    found[HOSTILE] = [folder / f"{name}.bin" for name in contents]
    for path, content in zip(found[HOSTILE], contents.values(), strict=True):
        path.write_bytes(content)
    return found


def read_stereo(path: Path) -> np.ndarray:
    samples, _ = soundfile.read(path, dtype="float32", always_2d=True)
    return np.repeat(samples, 2, axis=1)[:, :2]


def zip_bomb() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("song.mp3", bytes(1 << 28))
    return content.getvalue()


def measure_alone(run: str, paths: Mapping[str, Sequence[Path]]) -> dict[str, float]:
    """Returns the seconds of decoding and predicting a file, one after the other in this process."""
    from beam_pipelines.audio.quiet_decoders import silenced_decoders
    from trainer.evaluation.open_model import open_model

    found = {}
    with silenced_decoders():
        model = open_model(run, batch_size=32)
        model.score(str(paths["3 s"][0]))
        for kind in [kind for kind in paths if kind != HOSTILE]:
            started_s = time.perf_counter()
            for path in paths[kind]:
                model.score(str(path))
            found[kind] = (time.perf_counter() - started_s) / len(paths[kind])
    return found


@contextmanager
def serving(run: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Starts the service; yields its process and its address when the model is loaded."""
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-W", "ignore", "-m", "configs.cli", "serve", run, "port=0"], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        url = wait_for(process.stderr, "listening")["url"]
        wait_for(process.stderr, "ready")
        threading.Thread(target=process.stderr.read, daemon=True).start()  # otherwise the pipe is full soon
        yield process, url
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 0
    finally:
        process.kill()


def wait_for(log: TextIO, event: str) -> dict[str, str]:
    for line in log:
        if line.startswith("{") and (content := json.loads(line))["event"] == event:
            found: dict[str, str] = content
            return found
        print(line, end="", file=sys.stderr)
    raise SystemExit("the service has ended")


def send_files(
    url: str, pid: int, paths: Mapping[str, Sequence[Path]], *, num_clients: int, duration_s: float
) -> tuple[Tally, tuple[float, float]]:
    """Lets clients send files for some time; returns what they saw, and the memory after the warm-up and at the end."""
    tally, end_s = Tally(), time.monotonic() + duration_s
    clients = [
        threading.Thread(target=send_until, args=(url, paths, end_s, tally, seed)) for seed in range(num_clients)
    ]
    for client in clients:
        client.start()
    time.sleep(WARM_UP_SHARE * duration_s)
    warm_mib = rss_mib(pid)
    for client in clients:
        client.join()
    return tally, (warm_mib, rss_mib(pid))


def send_until(url: str, paths: Mapping[str, Sequence[Path]], end_s: float, tally: Tally, seed: int) -> None:
    chosen = random.Random(seed)  # noqa: S311
    kinds = [kind for kind in paths if kind != HOSTILE]
    with requests.Session() as session:
        while time.monotonic() < end_s:
            kind = HOSTILE if chosen.random() < 0.1 else chosen.choice(kinds)
            path = chosen.choice(paths[kind])
            started_s = time.monotonic()
            try:
                with path.open("rb") as file:
                    response = session.post(
                        f"{url}v1/predict", data=file, headers={"Content-Type": "audio/mpeg"}, timeout=TIMEOUT_S
                    )
            except requests.RequestException:
                tally.add(kind, 0, 0.0)
                continue
            tally.add(kind, response.status_code, time.monotonic() - started_s)
            if response.status_code == 503:
                time.sleep(float(response.headers["Retry-After"]) * chosen.uniform(0.5, 1.0))


def rss_mib(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def print_table(tally: Tally, alone_s: Mapping[str, float], *, duration_s: float) -> None:
    print("| files | responses by status | p50, s | p99, s | alone, s |\n|---|---|---|---|---|")
    for kind in [*(f"{one} s" for one in DURATIONS_S), HOSTILE]:
        times_s = tally.durations_s[kind]
        middle, last = (f"{np.percentile(times_s, share):.2f}" if times_s else "–" for share in (50, 99))
        statuses = ", ".join(f"{status or 'lost'}: {count}" for status, count in sorted(tally.statuses[kind].items()))
        alone = f"{alone_s[kind]:.3f}" if kind in alone_s else "–"
        print(f"| {kind} | {statuses} | {middle} | {last} | {alone} |")
    all_times_s = list(itertools.chain(*tally.durations_s.values()))
    print(
        f"{len(all_times_s) / duration_s:.1f} results a second; "
        f"all: p50 {np.percentile(all_times_s, 50):.2f} s, p99 {np.percentile(all_times_s, 99):.2f} s"
    )


if __name__ == "__main__":
    main()
