"""What each command asks of Google Cloud Storage, counted on the emulator, with the local command beside it.

    scripts/bench buckets
    scripts/bench buckets prepare train      # these commands only
    scripts/bench buckets --epochs 25 100    # the bytes that training uploads

Music: 40 mp3s of 8 s. Requests are by the classes that Google bills; times are of this machine, without a network.
With --epochs, what training uploads by the number of its epochs.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "helpers"))

from gcs.access_log import RequestCounts  # noqa: E402 (after the path)
from gcs.fixture import Gcs  # noqa: E402
from gcs.process import GcsProcess  # noqa: E402

TIMEOUT_S = 3600.0
MUSIC = ("dataset.artists_per_genre=4", "dataset.tracks_per_artist=2", "dataset.duration_s=8")
NETWORK = (
    *("model.filters=[4,4]", "model.time_pools=[2,2]", "model.band_pools=[2,2]", "model.hidden_units=8"),
    *("global_batch_size=8", "early_stopping_patience_epochs=null"),
)
SPACE = """
search:
  optimizer.learning_rate: {log: [0.001, 0.01]}
"""
# The words behind a command; {url} is the folder of all data, in a bucket or local.
COMMANDS: Mapping[str, Sequence[str]] = {
    "prepare": (
        *("dataset=csv", "dataset.path={url}/music/tracks.csv", "output_dir={url}/prepared"),
        *("segment.duration_s=2", "segment.hop_s=2", "features.log_mel.n_mels=32", "shards.min_shards=2"),
    ),
    "convert": ("source={url}/music", "output_dir={url}/wav"),
    "train": ("data_dir={url}/prepared", "run_dir={url}/runs/first", "epochs=6", *NETWORK),
    "train cache=false": ("data_dir={url}/prepared", "run_dir={url}/runs/streamed", "epochs=6", *NETWORK),
    "evaluate": ("run_dir={url}/runs/first",),
    "predict": ("{url}/runs/first", "{url}/music/{song}"),
    "baselines": ("data_dir={url}/prepared", "output_dir={url}/runs/baselines", "feature=log_mel"),
    "crossval": (
        *("data_dir={url}/prepared", "output_dir={url}/crossval", "folds=3", "seeds=[0]", "epochs=2"),
        *NETWORK,
    ),
    "compare": ("{url}/runs/first", "split=validation", "output.markdown={url}/comparison.md"),
    "explore": ("{url}/prepared", "output_dir={url}/explore"),
    "tune": (
        *("data_dir={url}/prepared", "search_dir={url}/search", "space={url}/space.yaml", "workers=2"),
        *("budget.max_trials=4", "epochs=2", *NETWORK),
    ),
}

NEEDED = ("prepare", "train")  # what the others read


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        command: The name of the command.
        counts: What it asked.
        local_s: The wall time of the local command.
        gcs_s: The wall time on gs://.
    """

    command: str
    counts: RequestCounts
    local_s: float
    gcs_s: float

    def markdown(self) -> str:
        """Returns the line in Markdown."""
        counts = self.counts
        return (
            f"| `{self.command}` | {counts.requests:,} | {counts.class_a:,} | {counts.class_b:,} | {counts.free:,} "
            f"| {counts.sent_bytes / 1e6:.1f} | {counts.received_bytes / 1e6:.1f} "
            f"| {self.local_s:.0f} → {self.gcs_s:.0f} |"
        )


def main() -> int:
    """Runs the commands and prints the table."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench buckets", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=f"of {', '.join(COMMANDS)}; all by default")
    parser.add_argument("--epochs", nargs="+", type=int, metavar="N", help="train on gs:// for so many epochs instead")
    options = parser.parse_args()
    chosen = options.commands or list(COMMANDS)
    with tempfile.TemporaryDirectory() as folder, GcsProcess(Path(folder, "emulator")) as process:
        local = Path(folder, "local")
        gcs = Gcs(process, "benchmark")
        run(gcs, ["synthesize", f"dataset.root={local}/music", *MUSIC])
        (local / "space.yaml").write_text(SPACE)
        gcs.upload(local)
        if options.epochs is not None:
            print_growth(gcs, options.epochs)
            return 0
        print("| command | requests | class A | class B | free | MB up | MB down | local → gs://, s |")
        print("|---|---|---|---|---|---|---|---|")
        for command in COMMANDS:
            if command in chosen or command in NEEDED:
                row = measure(gcs, local, command)
                if command in chosen:
                    print(row.markdown(), flush=True)
    return 0


def measure(gcs: Gcs, local: Path, command: str) -> Row:
    """Runs a command on local folders and on the bucket."""
    song = next(local.glob("music/*/*.mp3")).relative_to(local / "music")
    local_s = run(gcs, [*command.split(), *(word.format(url=local, song=song) for word in COMMANDS[command])])
    gcs.clear_requests()
    gcs_s = run(gcs, [*command.split(), *(word.format(url=gcs.url, song=song) for word in COMMANDS[command])])
    return Row(command, gcs.count_requests(), local_s, gcs_s)


def print_growth(gcs: Gcs, numbers: Sequence[int]) -> None:
    """Prints what runs of these numbers of epochs ask and upload."""
    run(gcs, ["prepare", *(word.format(url=gcs.url) for word in COMMANDS["prepare"])])
    print("| epochs | requests | class A | class B | MB up | KB up an epoch |")
    print("|---|---|---|---|---|---|")
    for number in numbers:
        gcs.clear_requests()
        run(
            gcs,
            [
                *("train", f"data_dir={gcs.url}/prepared", f"run_dir={gcs.url}/runs/epochs-{number}"),
                *(f"epochs={number}", *NETWORK),
            ],
        )
        counts = gcs.count_requests()
        print(
            f"| {number} | {counts.requests:,} | {counts.class_a:,} | {counts.class_b:,} "
            f"| {counts.sent_bytes / 1e6:.2f} | {counts.sent_bytes / 1e3 / number:.1f} |",
            flush=True,
        )


def run(gcs: Gcs, words: Sequence[str]) -> float:
    """Runs a command; returns its wall time in seconds."""
    started_s = time.monotonic()
    done = gcs.run(words, timeout_s=TIMEOUT_S)
    if done.returncode != 0:
        sys.exit(f"beamtune {' '.join(words)}\n{done.stderr}")
    return time.monotonic() - started_s


if __name__ == "__main__":
    sys.exit(main())
