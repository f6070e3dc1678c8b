"""The coverage of confidence intervals on simulated data, and their duration on large data.

    scripts/bench intervals

Each artist has 8 tracks, of which a fraction drawn from a beta distribution is right, with a correlation of 0.3 between
two tracks of an artist.
"""

import argparse
import resource
import time

import numpy as np

from trainer.metrics.bootstrap import NUM_RESAMPLES, bootstrap_intervals
from trainer.metrics.intervals import confidence_intervals

TRACKS_PER_ARTIST = 8
CORRELATION = 0.3
ACCURACIES = (0.05, 0.6, 0.9, 0.95, 0.99, 0.999)
NUM_GENRES = 5
NUM_SIMULATIONS = 1_000


def main() -> None:
    """Runs the simulations, and prints a line for each."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench intervals", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    for accuracy in ACCURACIES:
        for num_artists in (5, 10, 20, 50, 100):
            print_coverage(num_artists, accuracy)
    for num_classes, num_tracks, tracks_per_artist in ((8, 100_000, 5), (161, 100_000, 1)):
        print_duration(num_classes, num_tracks, tracks_per_artist)


def print_coverage(num_artists: int, accuracy: float) -> None:
    """Prints how many intervals contain the true value.

    An artist has one of five genres, each of which is as frequent, and wrong predictions are spread evenly. The three
    metrics therefore have the same true value.
    """
    rng = np.random.default_rng(0)
    artists = np.repeat(np.arange(num_artists), TRACKS_PER_ARTIST)
    labels = artists % NUM_GENRES
    covered: dict[str, int] = {}
    for seed in range(NUM_SIMULATIONS):
        scores = np.eye(NUM_GENRES)[simulated_predictions(rng, labels=labels, artists=artists, accuracy=accuracy)]
        by_artist = {"num_resamples": 1_000, "seed": seed}
        both = confidence_intervals(scores, labels, artists, **by_artist)
        bootstrap = bootstrap_intervals(scores, labels, artists, **by_artist)
        over_tracks = bootstrap_intervals(scores, labels, np.arange(len(artists)), **by_artist)
        assert both is not None and bootstrap is not None and over_tracks is not None
        for title, interval in (
            ("accuracy", both["accuracy"]),
            ("balanced accuracy", both["balanced_accuracy"]),
            ("macro-F1", both["macro_f1"]),
            ("bootstrap over artists", bootstrap["accuracy"]),
            ("over tracks", over_tracks["accuracy"]),
        ):
            covered[title] = covered.get(title, 0) + (interval.low <= accuracy <= interval.high)
    shares = ", ".join(f"{title} {count / NUM_SIMULATIONS:.3f}" for title, count in covered.items())
    print(f"accuracy {accuracy}, {num_artists} artists: the interval contains the true value: {shares}", flush=True)


def simulated_predictions(
    rng: np.random.Generator, *, labels: np.ndarray, artists: np.ndarray, accuracy: float
) -> np.ndarray:
    """Returns predicted classes, (tracks,)."""
    total = 1 / CORRELATION - 1
    shares = rng.beta(total * accuracy, total * (1 - accuracy), size=artists.max() + 1)
    is_right = rng.random(len(artists)) < shares[artists]
    return np.where(is_right, labels, (labels + rng.integers(1, NUM_GENRES, size=len(labels))) % NUM_GENRES)


def print_duration(num_classes: int, num_tracks: int, tracks_per_artist: int) -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((num_tracks, num_classes))
    labels = rng.integers(0, num_classes, size=num_tracks)
    groups = np.arange(num_tracks) // tracks_per_artist
    before_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started_s = time.perf_counter()
    confidence_intervals(scores, labels, groups)
    duration_s = time.perf_counter() - started_s
    more_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before_mib
    print(
        f"{num_tracks} tracks of {num_classes} genres by {num_tracks // tracks_per_artist} artists, {NUM_RESAMPLES} "
        f"resamples: {duration_s:.1f} s, {more_mib:.0f} MiB more"
    )


if __name__ == "__main__":
    main()
