"""What the scores of a model are compared with: guessing, the most frequent genre, and classical learners."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from beam_pipelines.common.errors import UserError
from trainer.common import files
from trainer.data.prepared import PreparedData
from trainer.metrics.level_metrics import SEGMENT, TRACK, Interval, LevelMetrics
from trainer.runs.run_dir import RunDir

_LEVELS = (SEGMENT, TRACK)


@dataclass(frozen=True)
class ReferenceScore:
    """Accuracy and macro-F1 at one level.

    Attributes:
        accuracy: As in `LevelMetrics`.
        macro_f1: As in `LevelMetrics`.
        intervals: The 95 % intervals of both by name; None where there are none.
    """

    accuracy: float
    macro_f1: float
    intervals: Mapping[str, Interval] | None = None


@dataclass(frozen=True)
class Reference:
    """A row of the table of comparisons.

    Attributes:
        name: What it is, such as "chance" or "knn".
        kind: "model", "baseline", "majority" or "chance".
        levels: The scores by level.
    """

    name: str
    kind: str
    levels: Mapping[str, ReferenceScore]


def reference_of(name: str, kind: str, levels: Mapping[str, LevelMetrics]) -> Reference:
    """Returns the row of a model."""
    return Reference(
        name=name,
        kind=kind,
        levels={
            level: ReferenceScore(
                accuracy=levels[level].accuracy,
                macro_f1=levels[level].macro_f1,
                intervals=levels[level].intervals,
            )
            for level in _LEVELS
        },
    )


def chance(num_true: Mapping[str, Sequence[int]]) -> Reference:
    """Returns the row of guessing all genres equally often; macro-F1 is that of the expected counts.

    Args:
        num_true: Examples of each genre, by level.
    """
    return Reference(
        name="chance: every genre equally often",
        kind="chance",
        levels={level: _chance_score(counts) for level, counts in num_true.items()},
    )


def majority(
    counts: Sequence[int], *, of: str, labels: Sequence[str], num_true: Mapping[str, Sequence[int]]
) -> Reference:
    """Returns the row of always predicting the largest genre, which is the first of several equally large ones.

    Args:
        counts: Tracks of each genre, where the largest one is looked for.
        of: Where that is.
        labels: The genres.
        num_true: Examples of each genre, by level, that are predicted.
    """
    genre, is_only = counts.index(max(counts)), list(counts).count(max(counts)) == 1
    return Reference(
        name=f"always {labels[genre]}, {'the largest genre' if is_only else 'one of the largest genres'} of {of}",
        kind="majority",
        levels={level: _majority_score(genre, counts) for level, counts in num_true.items()},
    )


def _chance_score(num_true: Sequence[int]) -> ReferenceScore:
    share, num_examples = 1 / len(num_true), sum(num_true)
    f1 = [2 * count * share / (count + num_examples * share) for count in num_true if count > 0]
    return ReferenceScore(accuracy=share, macro_f1=sum(f1) / len(f1))


def _majority_score(genre: int, num_true: Sequence[int]) -> ReferenceScore:
    num_examples, num_present = sum(num_true), sum(count > 0 for count in num_true)
    return ReferenceScore(
        accuracy=num_true[genre] / num_examples,
        macro_f1=2 * num_true[genre] / (num_true[genre] + num_examples) / num_present,
    )


def read_baselines(folder: str, *, data: PreparedData, split: str) -> list[Reference]:
    """Returns the rows of the learners in a folder of `beamtune baselines`, the most accurate on tracks first.

    Args:
        folder: Local or gs://.
        data: The data set of the model.
        split: The split of the scores.

    Raises:
        UserError: The folder holds no finished learner of the same data with scores of the split, or one is damaged.
    """
    rows = []
    for run in find_learners(folder):
        metrics = run.metrics()
        if metrics is not None and split in metrics.levels and run.dataset().cache_key == data.cache_key:
            rows.append(reference_of(metrics.model.name, "baseline", metrics.levels[split]))
    if not rows:
        raise UserError(
            f"baselines={folder} holds no finished learner with scores of split {split} of the same data "
            f"({data.cache_key}): give the output_dir of beamtune baselines data_dir=…"
        )
    return sorted(rows, key=lambda row: -row.levels[TRACK].accuracy)


def find_learners(folder: str) -> list[RunDir]:
    """Returns the finished learners in the subfolders of a folder, by name."""
    runs = [RunDir(files.join(folder, name.rstrip("/"))) for name in files.list_if_exists(folder)]
    return [run for run in runs if run.is_started() and run.is_finished() and "learner" in run.config()]
