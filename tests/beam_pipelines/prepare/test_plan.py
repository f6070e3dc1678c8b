import hashlib
from dataclasses import asdict, fields, replace

import pytest

from beam_pipelines.audio.config import AudioConfig, SegmentConfig
from beam_pipelines.datasets.config import FolderDatasetConfig
from beam_pipelines.datasets.track import Track
from beam_pipelines.features.config import LogMelConfig, YamnetConfig
from beam_pipelines.prepare.config import PrepareConfig, ShardConfig
from beam_pipelines.prepare.plan import data_set_cache_key, estimated_segments, plan_shards
from beam_pipelines.records.schema import FeatureSpec
from beam_pipelines.splits.config import DuplicatesConfig, SplitConfig

CONFIG = PrepareConfig(
    output_dir="out",
    dataset=FolderDatasetConfig(name="mine", root="/music"),
    features={"log_mel": LogMelConfig()},
    shards=ShardConfig(min_shards=3),
    seed=5,
)
SPECS = [FeatureSpec(name="log_mel", shape=(94, 128), dtype="float16")]
TRACKS = [
    Track(track_id=f"{n}.mp3", uri=f"/music/{n}.mp3", label="rock", group=str(n), size_bytes=480_000) for n in range(10)
]
SPLITS = {track.track_id: "train" for track in TRACKS[:8]} | {track.track_id: "test" for track in TRACKS[8:]}


def plan(tracks=TRACKS, config=CONFIG, splits=SPLITS):
    return plan_shards(tracks, splits, config=config, specs=SPECS, labels=["rock"])


def test_tracks_are_ordered_by_a_keyed_hash_and_cut_evenly():
    plans = plan()
    assert [item.filename for item in plans] == [
        "mine-train.tfrecord-00000-of-00003",
        "mine-train.tfrecord-00001-of-00003",
        "mine-train.tfrecord-00002-of-00003",
        "mine-test.tfrecord-00000-of-00002",
        "mine-test.tfrecord-00001-of-00002",
    ]
    by_hash = sorted(
        (track.track_id for track in TRACKS[:8]),
        key=lambda track_id: hashlib.blake2b(track_id.encode(), key=b"5", digest_size=8).digest(),
    )
    planned = [[track.track_id for track in item.tracks] for item in plans if item.split == "train"]
    assert planned == [by_hash[:2], by_hash[2:5], by_hash[5:]]


def test_shards_are_as_large_as_wanted():
    """30 s at 128 kbps are 10 segments of 94 x 128 float16 values: 240 640 bytes a track."""
    tracks = [replace(TRACKS[0], track_id=f"{n}.mp3", uri=f"{n}.mp3") for n in range(1000)]
    config = replace(CONFIG, shards=ShardConfig(target_mib=16, min_shards=1))
    plans = plan(tracks, config, {track.track_id: "train" for track in tracks})
    assert len(plans) == -(-1000 * 240_640 // (16 * 2**20))


@pytest.mark.parametrize(
    ("uri", "size_bytes", "expected"),
    [
        ("a.mp3", 480_000, 10),
        ("a.WAV", 5_292_000, 10),
        ("a.flac", 3_528_000, 10),
        ("a.mp3", 0, 1),
        ("noending", 96_000, 2),
    ],
)
def test_lengths_are_estimated_from_sizes(uri, size_bytes, expected):
    track = replace(TRACKS[0], uri=uri, size_bytes=size_bytes)
    assert estimated_segments(track, SegmentConfig()) == expected


def test_the_order_of_the_listing_changes_nothing():
    assert plan(list(reversed(TRACKS))) == plan()


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 6},
        {"audio": AudioConfig(sample_rate_hz=22_050)},
        {"segment": SegmentConfig(hop_s=1.5)},
        {"features": {"log_mel": LogMelConfig(n_mels=64)}},
        {"shards": ShardConfig(min_shards=4)},
        {"duplicates": DuplicatesConfig(mode="off")},
        {"split": SplitConfig(test_fraction=0.2)},
    ],
)
def test_what_changes_the_bytes_changes_the_cache_key(changes):
    assert data_set_cache_key(TRACKS, replace(CONFIG, **changes)) != data_set_cache_key(TRACKS, CONFIG)


def test_output_and_runner_do_not_change_the_cache_key():
    elsewhere = replace(CONFIG, output_dir="elsewhere", overwrite=True)
    assert data_set_cache_key(TRACKS, elsewhere) == data_set_cache_key(TRACKS, CONFIG)
    assert plan(config=elsewhere) == plan()


@pytest.fixture
def with_weights(tmp_path, monkeypatch):
    """Returns the configuration of embeddings with weights of this content: at this path, or in the cache folder."""
    monkeypatch.setenv("BEAMTUNE_CACHE", str(tmp_path / "cache"))

    def make(content, *, path=None):
        place = tmp_path / (path or "cache/yamnet.h5")
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(content)
        yamnet = YamnetConfig(weights_path=None if path is None else str(place))
        return replace(CONFIG, features={"log_mel": LogMelConfig(), "mine": yamnet})

    return make


@pytest.mark.parametrize("path", ["there/moved.h5", None], ids=["another path", "the cache folder"])
def test_where_weights_are_does_not_change_the_cache_keys(with_weights, path):
    config, elsewhere = with_weights(b"weights", path="here/yamnet.h5"), with_weights(b"weights", path=path)
    assert data_set_cache_key(TRACKS, elsewhere) == data_set_cache_key(TRACKS, config)
    assert plan(config=elsewhere) == plan(config=config)


def test_what_weights_hold_changes_the_cache_keys(with_weights):
    config = with_weights(b"weights", path="yamnet.h5")
    request, plans = data_set_cache_key(TRACKS, config), plan(config=config)
    assert with_weights(b"others", path="yamnet.h5") == config
    assert data_set_cache_key(TRACKS, config) != request
    for old, new in zip(plans, plan(config=config), strict=True):
        assert new.tracks == old.tracks
        assert new.cache_key != old.cache_key


def test_another_way_of_computing_changes_the_cache_keys(with_weights, monkeypatch):
    config = with_weights(b"weights", path="yamnet.h5")
    request, plans = data_set_cache_key(TRACKS, config), plan(config=config)
    monkeypatch.setattr(YamnetConfig, "computation", lambda self: 2)
    assert data_set_cache_key(TRACKS, config) != request
    assert {one.cache_key for one in plan(config=config)}.isdisjoint(one.cache_key for one in plans)


def test_settings_of_the_result_leave_out_paths_and_the_runner(with_weights):
    settings = with_weights(b"weights", path="yamnet.h5").result_settings()
    where_and_how = {"output_dir", "overwrite", "max_reject_fraction", "runner", "storage"}
    assert list(settings) == [field.name for field in fields(CONFIG) if field.name not in where_and_how]
    assert settings["features"] == {
        "log_mel": asdict(LogMelConfig()),
        "mine": {"kind": "yamnet", "dtype": "float16", "sample_rate_hz": 16_000},
    }


def test_a_file_of_another_size_changes_its_shard_only():
    changed = [replace(TRACKS[0], size_bytes=480_001), *TRACKS[1:]]
    differing = [(old, new) for old, new in zip(plan(), plan(changed), strict=True) if old.cache_key != new.cache_key]
    assert len(differing) == 1
    assert "0.mp3" in [track.track_id for track in differing[0][0].tracks]
