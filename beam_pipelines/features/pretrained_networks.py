"""The pretrained networks of features: their licences, and the collections of music that they learned from.

Scores of a network on music that it learned from are too high, whatever the split is.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from beam_pipelines.features.config import EmbeddingConfig, FeatureConfig, MusicnnConfig, YamnetConfig

# The settings of a data set that may name the collection that its music is from.
_NAMING_SETTINGS = ("name", "root", "path")


@dataclass(frozen=True)
class Collection:
    """A collection of audio.

    Attributes:
        name: Its name, for sentences.
        pattern: A regular expression that is found in the lower-case names and paths of data sets of its audio.
    """

    name: str
    pattern: str


AUDIOSET = Collection("AudioSet", r"audio.?set")
MILLION_SONG_DATASET = Collection("the Million Song Dataset", r"million.?song|(?<![a-z])msd(?![a-z])")
# Emotify is music of Magnatune too.
MAGNATAGATUNE = Collection(
    "MagnaTagATune, which is music of Magnatune", r"magna.?tag.?a.?tune|magnatune|emotify|(?<![a-z])(mtt|mtat)(?![a-z])"
)


@dataclass(frozen=True)
class PretrainedNetwork:
    """A network whose weights others have trained.

    Attributes:
        name: Its name.
        url: Where its weights or their code are published; "" if that is not known.
        copyright: Who has the copyright; "" if that is not known.
        licence: The name of the licence of the weights, or the whole text if the user brought the network; "" if it is
            not stated.
        collections: What it learned from, as far as it is stated.
        is_own: Whether the user brought the network.
    """

    name: str
    url: str
    copyright: str
    licence: str
    collections: tuple[Collection, ...]
    is_own: bool = False


YAMNET = PretrainedNetwork(
    name="YAMNet",
    url="https://github.com/tensorflow/models, research/audioset/yamnet",
    copyright="The TensorFlow Authors",
    licence="Apache License 2.0",
    collections=(AUDIOSET,),
)

_MUSICNN_COLLECTIONS = {"msd": MILLION_SONG_DATASET, "mtt": MAGNATAGATUNE}


def network_of(config: FeatureConfig) -> PretrainedNetwork | None:
    """Returns the pretrained network that computes a feature; None for a feature without one."""
    if isinstance(config, YamnetConfig):
        return YAMNET
    if isinstance(config, MusicnnConfig):
        return PretrainedNetwork(
            name=f"{config.variant.upper()}_{config.network}",
            url="https://github.com/jordipons/musicnn",
            copyright="Music Technology Group, Universitat Pompeu Fabra 2019",
            licence="ISC License",
            collections=(_MUSICNN_COLLECTIONS[config.variant],),
        )
    if isinstance(config, EmbeddingConfig):
        return PretrainedNetwork(
            name=config.filename,
            url="",
            copyright="",
            licence=config.license_text() or "",
            collections=tuple(map(_collection, config.learned_from)),
            is_own=True,
        )
    return None


def _collection(name: str) -> Collection:
    """Returns the collection that a user calls by a name: one of those above, or another one of that name."""
    for known in (AUDIOSET, MILLION_SONG_DATASET, MAGNATAGATUNE):
        if re.search(known.pattern, name.lower()):
            return known
    words = re.findall(r"\w+", name.lower())
    return Collection(name, r"(?<![a-z])" + r"[\W_]?".join(map(re.escape, words)) + r"(?![a-z])")


def notes_on_contamination(dataset: Mapping[str, object], features: Mapping[str, FeatureConfig]) -> Iterator[str]:
    """Yields a sentence for each feature whose network learned from the collection that a data set is of.

    Args:
        dataset: The settings of the data set; its name and its path tell the collection.
        features: The features, by name.
    """
    named = {f"dataset.{key}": str(dataset[key]) for key in _NAMING_SETTINGS if dataset.get(key)}
    for name, config in features.items():
        network = network_of(config)
        for collection in () if network is None else network.collections:
            found = [f"{key}={value}" for key, value in named.items() if re.search(collection.pattern, value.lower())]
            if found and network is not None:
                yield (
                    f"features.{name}: {network.name} learned from {collection.name}, which {found[0]} names: scores "
                    "on this music are too high"
                )
