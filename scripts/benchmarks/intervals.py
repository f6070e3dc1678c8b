"""The coverage of confidence intervals on simulated data, and their duration on large data.

    scripts/bench intervals

Each artist has 8 tracks, of which a fraction drawn from a beta distribution is right: 0.6 on average, with a
correlation of 0.3 between two tracks of an artist.
"""

import resource
import time

import numpy as np

from trainer.metrics.bootstrap import NUM_RESAMPLES, bootstrap_intervals

TRACKS_PER_ARTIST = 8
ACCURACY = 0.6
NUM_SIMULATIONS = 1_000


def main() -> None:
    for num_artists in (5, 10, 20, 50, 100):
        print_coverage(num_artists)
    for num_classes, num_tracks, tracks_per_artist in ((8, 100_000, 5), (161, 100_000, 1)):
        print_duration(num_classes, num_tracks, tracks_per_artist)


def print_coverage(num_artists: int) -> None:
    rng = np.random.default_rng(0)
    artists = np.repeat(np.arange(num_artists), TRACKS_PER_ARTIST)
    covered = {"artists": 0, "tracks": 0}
    for seed in range(NUM_SIMULATIONS):
        shares = rng.beta(1.4, 1.4 / ACCURACY * (1 - ACCURACY), size=num_artists)
        labels = rng.integers(0, 2, size=len(artists))
        is_right = rng.random(len(artists)) < shares[artists]
        scores = np.eye(2)[np.where(is_right, labels, 1 - labels)]
        for over, groups in (("artists", artists), ("tracks", np.arange(len(artists)))):
            intervals = bootstrap_intervals(scores, labels, groups, num_resamples=1_000, seed=seed)
            assert intervals is not None
            covered[over] += intervals["accuracy"].low <= ACCURACY <= intervals["accuracy"].high
    shares_covered = ", ".join(f"over {over} {count / NUM_SIMULATIONS:.3f}" for over, count in covered.items())
    print(f"{num_artists} artists: the interval contains the true value: {shares_covered}", flush=True)


def print_duration(num_classes: int, num_tracks: int, tracks_per_artist: int) -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((num_tracks, num_classes))
    labels = rng.integers(0, num_classes, size=num_tracks)
    groups = np.arange(num_tracks) // tracks_per_artist
    before_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started_s = time.perf_counter()
    bootstrap_intervals(scores, labels, groups)
    duration_s = time.perf_counter() - started_s
    more_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before_mib
    print(
        f"{num_tracks} tracks of {num_classes} genres by {num_tracks // tracks_per_artist} artists, {NUM_RESAMPLES} "
        f"resamples: {duration_s:.1f} s, {more_mib:.0f} MiB more"
    )


if __name__ == "__main__":
    main()
