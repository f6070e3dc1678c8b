"""Planted label errors: how many of the tracks that `beamtune review` ranks first have a genre that was swapped.

    scripts/bench review [--music FOLDER] [--weights yamnet.h5]

A tenth of the labels of FOLDER/tracks.csv are swapped at random, for each of three seeds. YAMNet's embeddings and
logistic regression predict the tracks in five folds, artists apart.
"""

import argparse
import csv
import random
import subprocess
import sys
import tempfile
from pathlib import Path

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
SHARE = 0.1


def main() -> None:
    """Prints a row for each seed."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench review", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--music", default=str(SHARED / "magnatune4"), help="a folder with tracks.csv")
    parser.add_argument("--weights", default=str(SHARED / "yamnet" / "yamnet.h5"), help="the weights of YAMNet")
    arguments = parser.parse_args()
    print("| seed | planted | of the first tenth, planted | suspected | of these, planted |\n|---|---|---|---|---|")
    for seed in range(3):
        with tempfile.TemporaryDirectory() as folder:
            planted = write_table(Path(folder) / "songs.csv", Path(arguments.music), seed=seed)
            review(Path(folder), arguments.weights)
            with (Path(folder) / "review" / "ranking.csv").open(newline="") as source:
                ranking = list(csv.DictReader(source))
        first = ranking[: round(len(ranking) * SHARE)]
        suspected = [row for row in ranking if row["suspected"] == "1"]
        print(
            f"| {seed} | {len(planted)} | {count(first, planted)} of {len(first)} | {len(suspected)} | "
            f"{count(suspected, planted)} |"
        )


def write_table(path: Path, music: Path, *, seed: int) -> set[str]:
    """Writes the table with swapped genres; returns the paths whose genre is swapped."""
    with (music / "tracks.csv").open(newline="") as source:
        rows = list(csv.DictReader(source))
    genres, chance = sorted({row["genre"] for row in rows}), random.Random(seed)  # noqa: S311
    swapped = set(chance.sample(range(len(rows)), round(len(rows) * SHARE)))
    with path.open("w", newline="") as sink:
        writer = csv.writer(sink)
        writer.writerow(["path", "genre", "artist"])
        for index, row in enumerate(rows):
            others = [genre for genre in genres if genre != row["genre"]]
            genre = chance.choice(others) if index in swapped else row["genre"]
            writer.writerow([music / row["path"], genre, row["artist"]])
    return {str(music / rows[index]["path"]) for index in swapped}


def review(folder: Path, weights: str) -> None:
    yamnet = ["features=yamnet", f"features.yamnet.weights_path={weights}"]
    learner = ["learner=baselines", "baselines.learners=[logistic_regression]", "baselines.feature=yamnet"]
    for words in (
        ["prepare", "dataset=csv", f"dataset.path={folder}/songs.csv", *yamnet, f"output_dir={folder}/data"],
        ["crossval", *learner, "folds=5", "seeds=[0]", f"data_dir={folder}/data", f"output_dir={folder}/crossval"],
        [
            "review",
            f"{folder}/crossval/logistic_regression",
            f"output_dir={folder}/review",
            "suspects=0",
            "uncertain=0",
        ],
    ):
        command = [sys.executable, "-W", "ignore", "-m", "configs.cli", *words]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603


def count(rows: list[dict[str, str]], planted: set[str]) -> int:
    return sum(row["path"] in planted for row in rows)


if __name__ == "__main__":
    main()
