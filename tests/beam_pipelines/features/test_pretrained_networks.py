import pytest

from beam_pipelines.features.config import LogMelConfig, MusicnnConfig, MusicnnLogMelConfig, YamnetConfig
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


def test_a_note_says_all():
    [note] = notes_on_contamination({"name": "m", "root": "/data/Magnatune"}, {"mine": MusicnnConfig(variant="mtt")})
    assert note == (
        "features.mine: MTT_musicnn learned from MagnaTagATune, which is music of Magnatune, which "
        "dataset.root=/data/Magnatune names: scores on this music are too high"
    )
