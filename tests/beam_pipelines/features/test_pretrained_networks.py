import pytest

from beam_pipelines.features.config import (
    EmbeddingConfig,
    LogMelConfig,
    MusicnnConfig,
    MusicnnLogMelConfig,
    YamnetConfig,
)
from beam_pipelines.features.pretrained_networks import network_of, notes_on_contamination


def test_networks_state_their_licence_and_what_they_learned_from():
    found = [network_of(config) for config in (YamnetConfig(), MusicnnConfig(), MusicnnConfig(variant="mtt"))]
    assert [(network.name, network.licence, [each.name for each in network.collections]) for network in found] == [
        ("YAMNet", "Apache License 2.0", ["AudioSet"]),
        ("MSD_musicnn", "ISC License", ["the Million Song Dataset"]),
        ("MTT_musicnn", "ISC License", ["MagnaTagATune, which is music of Magnatune"]),
    ]
    assert [network_of(config) for config in (LogMelConfig(), MusicnnLogMelConfig())] == [None, None]


@pytest.mark.parametrize(
    ("dataset", "learned"),
    [
        ({"name": "magnatune"}, ["mtt"]),
        ({"name": "folder", "root": "/data/MagnaTagATune/mp3"}, ["mtt"]),
        ({"name": "csv", "path": "gs://b/magna_tag_a_tune/clips.csv"}, ["mtt"]),
        ({"name": "emotify_2", "root": "/music"}, ["mtt"]),
        ({"name": "mtt", "root": "/music"}, ["mtt"]),
        ({"name": "csv", "path": "/data/MSD/tracks.csv"}, ["msd"]),
        ({"name": "million_song_subset", "root": "/music"}, ["msd"]),
        ({"name": "folder", "root": "/data/AudioSet"}, ["audioset"]),
        ({"name": "both", "root": "/msd", "path": "/magnatune"}, ["msd", "mtt"]),
        # Not words of their own, or settings that name nothing.
        ({"name": "mttx", "root": "/filmsdir/amsden"}, []),
        ({"name": "gtzan", "root": "/data/gtzan", "path_column": "magnatune"}, []),
        ({"name": None, "root": ""}, []),
        ({}, []),
    ],
    ids=str,
)
def test_a_data_set_is_known_by_its_name_and_path(dataset, learned):
    features = {
        "audioset": YamnetConfig(),
        "msd": MusicnnConfig(),
        "mtt": MusicnnConfig(variant="mtt", network="vgg", layer="pool5"),
        "log_mel": LogMelConfig(),
    }
    assert [note.split()[0] for note in notes_on_contamination(dataset, features)] == [
        f"features.{x}:" for x in learned
    ]


def own(**values):
    return EmbeddingConfig(path="gs://b/effnet.onnx", sample_rate_hz=16_000, window_s=2.0, **values)


def test_an_own_network_has_the_licence_and_the_collections_of_its_settings():
    network = network_of(own(license="CC BY-NC-SA 4.0", learned_from=["Discogs", "MSD", "mtat"]))
    assert (network.name, network.licence, network.is_own) == ("effnet.onnx", "CC BY-NC-SA 4.0", True)
    assert [one.name for one in network.collections] == [
        "Discogs",
        "the Million Song Dataset",
        "MagnaTagATune, which is music of Magnatune",
    ]
    nothing = network_of(own())
    assert (nothing.licence, nothing.collections) == ("", ())


@pytest.mark.parametrize(
    ("learned_from", "dataset", "is_noted"),
    [
        ("FMA full", {"name": "fma", "root": "/data/fma_full"}, True),
        ("FMA full", {"name": "x", "root": "/data/FMA-Full/audio"}, True),
        ("FMA full", {"name": "x", "root": "/data/fma_fully"}, False),
        ("Magnatune", {"name": "emotify", "root": "/x"}, True),
        ("GTZAN (all)", {"name": "gtzan", "root": "/x"}, False),
        ("GTZAN", {"name": "gtzan", "root": "/x"}, True),
    ],
)
def test_a_collection_of_another_name_is_found_by_its_words(learned_from, dataset, is_noted):
    notes = list(notes_on_contamination(dataset, {"embedding": own(learned_from=[learned_from])}))
    assert [note.startswith("features.embedding: effnet.onnx learned from ") for note in notes] == [True] * is_noted


def test_a_note_says_all():
    [note] = notes_on_contamination({"name": "m", "root": "/data/Magnatune"}, {"mine": MusicnnConfig(variant="mtt")})
    assert note == (
        "features.mine: MTT_musicnn learned from MagnaTagATune, which is music of Magnatune, which "
        "dataset.root=/data/Magnatune names: scores on this music are too high"
    )
