"""Ways to calibrate, on the runs of a cross-validation: scores of the tracks of their test folds.

    scripts/bench calibration CROSSVAL

CROSSVAL is an output_dir of `beamtune crossval`, with its folds; runs that are not finished are left out. The
temperatures of a run are fitted to its validation fold.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from beam_pipelines.records.schema import TEST, VALIDATION
from trainer.data.prepared import open_prepared
from trainer.evaluation.config import EvaluateConfig
from trainer.evaluation.evaluate import predict_split
from trainer.metrics.calibration import fit_calibration, fit_temperature, with_temperature
from trainer.metrics.metrics import cross_entropy, expected_calibration_error, mean_by_track
from trainer.metrics.predictions import Predictions
from trainer.models.registry import model_config_from_dict
from trainer.runs.run_dir import RunDir

# (validation, test) → the probabilities of the tracks of the second, (tracks, genres).
Way = Callable[[Predictions, Predictions], NDArray[np.float64]]


def main() -> None:
    """Prints a row for each way."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench calibration", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("crossval", help="an output_dir of beamtune crossval")
    arguments = parser.parse_args()
    runs = [RunDir(str(path)) for path in sorted(Path(arguments.crossval, "runs").iterdir())]
    found = [(predict(run, VALIDATION), predict(run, TEST)) for run in runs if run.is_finished()]
    labels = [test.labels for _, test in found]
    uncalibrated = [without(*pair) for pair in found]
    print(f"{len(found)} runs, {sum(map(len, labels))} predictions of tracks")
    for title, way in WAYS.items():
        scores = [way(*pair) for pair in found]
        loss = np.mean([cross_entropy(*pair) for pair in zip(scores, labels, strict=True)])
        error = expected_calibration_error(np.concatenate(scores), np.concatenate(labels))
        num_others = sum(
            (one.argmax(1) != other.argmax(1)).sum() for one, other in zip(scores, uncalibrated, strict=True)
        )
        print(
            f"{title}: loss {loss:.3f}, calibration error {error:.3f}, {num_others} tracks with another genre",
            flush=True,
        )


def predict(run: RunDir, split: str) -> Predictions:
    """Returns the predictions of a run for a split of its data, as its network gives them."""
    settings = run.config()
    _, predictions = predict_split(
        EvaluateConfig(run_dir=run.path, split=split),
        run=run,
        model_config=model_config_from_dict(settings["model"]),
        data=open_prepared(settings["data_dir"]),
    )
    return predictions


def without(validation: Predictions, test: Predictions) -> NDArray[np.float64]:
    return test.by_track().probabilities


def segments_by_their_temperature(validation: Predictions, test: Predictions) -> NDArray[np.float64]:
    return means(test, fit_calibration(validation).segment)


def segments_by_that_of_means(validation: Predictions, test: Predictions) -> NDArray[np.float64]:
    labels = validation.labels
    found = minimize_scalar(
        lambda log_temperature: cross_entropy(means(validation, np.exp(log_temperature)), labels),
        bounds=(-5.0, 5.0),
        method="bounded",
    )
    return means(test, float(np.exp(found.x)))


def means_by_targets_of_one(validation: Predictions, test: Predictions) -> NDArray[np.float64]:
    temperature = fit_temperature(np.log(validation.by_track().probabilities), validation.labels)
    return with_temperature(test.by_track().probabilities, temperature)


def means_as_it_is_done(validation: Predictions, test: Predictions) -> NDArray[np.float64]:
    return with_temperature(test.by_track().probabilities, fit_calibration(validation).track)


def means(predictions: Predictions, temperature: Any) -> NDArray[np.float64]:
    """Returns the means over the segments of each track, after the temperature of the segments."""
    segments = with_temperature(predictions.segment_probabilities, temperature)
    return mean_by_track(segments, predictions.segment_tracks, num_tracks=len(predictions.track_ids))


WAYS: dict[str, Way] = {
    "none": without,
    "segments, by their temperature, before the mean": segments_by_their_temperature,
    "segments, by the temperature that suits the means": segments_by_that_of_means,
    "means, targets of 1": means_by_targets_of_one,
    "means, targets of (n + 1) / (n + 2), as it is done": means_as_it_is_done,
}


if __name__ == "__main__":
    main()
