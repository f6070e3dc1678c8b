"""Why scores may be too high whatever the splits are: pretrained networks that have learned from the music."""

from collections.abc import Iterable

from beam_pipelines.features.pretrained_networks import notes_on_contamination
from beam_pipelines.prepare.prepare_yaml import PrepareYaml
from trainer.data.prepared import find_prepare_yaml


def find_contamination(preparation: PrepareYaml | None, feature_names: Iterable[str]) -> tuple[str, ...]:
    """Returns a sentence for each feature whose network learned from the collection that the music is of.

    Args:
        preparation: How the data were prepared; None: unknown, and () is returned.
        feature_names: The features that a model takes. Those that the data do not have are ignored.
    """
    if preparation is None:
        return ()
    features = {name: preparation.features[name] for name in feature_names if name in preparation.features}
    return tuple(notes_on_contamination(preparation.dataset, features))


def read_contamination(directory: str, feature_names: Iterable[str]) -> tuple[str, ...]:
    """Returns the same for a prepared data set, or a run's copy of its metadata; () if it has no readable record.

    Args:
        directory: Local or gs://.
        feature_names: As in `find_contamination`.
    """
    return find_contamination(find_prepare_yaml(directory), feature_names)
