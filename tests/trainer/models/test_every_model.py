"""Every model: it takes features as they are stored, learns, and is saved and loaded."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from beam_pipelines.common.errors import UserError
from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.data.batches import TrainBatch
from trainer.devices.config import StrategyConfig
from trainer.devices.strategy import make_strategy
from trainer.models.architectures.attention_pool import AttentionPoolConfig
from trainer.models.architectures.cnn1d import Cnn1dConfig
from trainer.models.architectures.linear import LinearConfig
from trainer.models.architectures.parallel import ParallelConfig
from trainer.models.layers import PrincipalComponents
from trainer.models.registry import MODELS, build_model
from trainer.training.config import TrainingConfig
from trainer.training.loop import TrainLoop

NUM_STEPS = 40
# Of convolutions, of recurrent layers, and of attention. The graphs of all models are looked at below.
SEEDED = ("cnn2d", "crnn", "attention_pool")


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_it_learns_an_easy_task_and_is_saved_and_loaded(
    name, specs, stats, small_configs, make_batch, take_steps, tmp_path
):
    config = small_configs[name]
    keras.utils.set_random_seed(0)
    model = build_model(config, specs=specs, stats=stats, num_classes=3, pretrained=False)
    assert {feature: (node.shape[1:], node.dtype) for feature, node in model.input.items()} == {
        feature: (specs[feature].shape, specs[feature].dtype) for feature in config.feature_names
    }
    features, labels = make_batch(config.feature_names)
    is_from_weights = MODELS[name].load_pretrained is not None
    losses = take_steps(model, features, labels, num_steps=3 if is_from_weights else NUM_STEPS)
    unseen, labels = make_batch(config.feature_names, seed=1)
    logits = model(unseen)
    assert (logits.shape, logits.dtype) == ((12, 3), "float32")
    # A deep network whose first layers keep their random weights learns next to nothing.
    if not is_from_weights:
        assert losses[-1] < 0.5 * losses[0]
        assert np.mean(np.argmax(logits, axis=-1) == labels) >= 0.9

    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert len(loaded.trainable_variables) == len(model.trainable_variables)
    np.testing.assert_array_equal(loaded(unseen), logits)

    path = tf.train.Checkpoint(model=model).write(str(tmp_path / "checkpoint"))
    fresh = build_model(config, specs=specs, stats=stats, num_classes=3, pretrained=False)
    assert not np.array_equal(fresh(unseen), logits)
    tf.train.Checkpoint(model=fresh).read(path).assert_consumed()
    np.testing.assert_array_equal(fresh(unseen), logits)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name if name in SEEDED else pytest.param(name, marks=pytest.mark.exhaustive) for name in MODELS]
)
def test_a_seed_gives_the_same_bits(name, small_configs, specs, stats, make_batch, take_steps):
    config = small_configs[name]
    features, labels = make_batch(config.feature_names, size=4)
    results = []
    for _ in range(2):
        keras.utils.set_random_seed(7)
        model = build_model(config, specs=specs, stats=stats, num_classes=3, pretrained=False)
        take_steps(model, features, labels, num_steps=2)
        results.append([np.array(weight) for weight in model.weights])
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", MODELS)
def test_under_a_mixed_policy_only_logits_and_normalisation_are_float32(name, small_configs, specs, stats, make_batch):
    config = small_configs[name]
    features, _ = make_batch(config.feature_names, size=3)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build_model(config, specs=specs, stats=stats, num_classes=3, pretrained=False)
        assert model(features, training=True).dtype == "float32"
    finally:
        keras.config.set_dtype_policy("float32")
    exact = {layer.name for layer in model._flatten_layers() if layer.weights and layer.compute_dtype == "float32"}
    assert exact <= {"logits", model.name}
    assert all(weight.dtype == "float32" for weight in model.weights)


@pytest.mark.parametrize(
    ("name", "feature", "message"),
    [
        ("cnn2d", "waveform", r"cnn2d takes a feature of shape \(frames, bands\), and waveform has shape \(4000,\)"),
        ("bilstm", "waveform", r"bilstm takes a feature of shape \(frames, bands\), and waveform has"),
        ("cnn1d", "spectral_stats", r"cnn1d takes a feature of shape \(patches, values\), and spectral_stats has"),
        ("crnn", "spectral_stats", r"crnn takes a feature of shape \(frames, bands\), and"),
        ("res2d", "waveform", r"res2d takes a feature of shape \(frames, bands\), and"),
        ("wave1d", "mfcc", r"wave1d takes 16-bit samples of shape \(samples,\), and mfcc has shape \(16, 8\)"),
        ("wave1d", "spectral_stats", r"wave1d takes 16-bit samples of shape \(samples,\), and spectral_stats has"),
        ("attention_pool", "waveform", r"attention_pool takes a feature of shape \(patches, values\), and"),
        (
            "yamnet_finetune",
            "log_mel",
            r"yamnet_finetune takes .* of shape \(frames, 64\) in whole patches of 96, and log_mel has shape",
        ),
        ("transfer", "waveform", r"transfer takes a feature of shape \(frames, bands\), and"),
    ],
)
def test_features_of_other_shapes_are_refused(name, feature, message, specs, stats):
    config = MODELS[name].config_class(feature=feature)
    with pytest.raises(UserError, match=rf"^model\.feature={feature}: model {message}"):
        build_model(config, specs=specs, stats=stats, num_classes=3, pretrained=False)


def test_parallel_refuses_samples(specs, stats):
    config = ParallelConfig(features=["log_mel", "waveform"])
    with pytest.raises(UserError, match=r"^model\.features=waveform: model parallel takes features of shape"):
        build_model(config, specs=specs, stats=stats, num_classes=3)


def test_parallel_convolves_spectrograms_and_pools_embeddings(specs, stats):
    model = build_model(
        ParallelConfig(features=["yamnet", "log_mel"], filters=[8]), specs=specs, stats=stats, num_classes=3
    )
    assert list(model.input) == ["yamnet", "log_mel"]
    assert sum(isinstance(layer, keras.layers.Conv2D) for layer in model.layers) == 1
    as_spectrogram = ParallelConfig(features=["yamnet", "log_mel"], filters=[8], pooled_features=[])
    model = build_model(as_spectrogram, specs=specs, stats=stats, num_classes=3)
    assert sum(isinstance(layer, keras.layers.Conv2D) for layer in model.layers) == 2


def test_parallel_pools_the_embeddings_of_all_networks(specs, stats):
    of_all = {name: replace(specs["yamnet"], name=name) for name in ("yamnet", "musicnn", "embedding")}
    same_stats = dict.fromkeys(of_all, stats["yamnet"])
    model = build_model(ParallelConfig(features=list(of_all)), specs=of_all, stats=same_stats, num_classes=3)
    assert not any(isinstance(layer, keras.layers.Conv2D) for layer in model.layers)


def test_attention_takes_embeddings_of_several_networks_with_patches_of_their_own(specs, stats):
    of_both = {"yamnet": specs["yamnet"], "musicnn": FeatureSpec("musicnn", (2, 20), "float16")}
    both_stats = {"yamnet": stats["yamnet"], "musicnn": BandStats(num_frames=1, mean=(0.0,) * 20, std=(1.0,) * 20)}
    config = AttentionPoolConfig(feature=["musicnn", "yamnet"], units=5)
    model = build_model(config, specs=of_both, stats=both_stats, num_classes=3)
    assert list(model.input) == ["musicnn", "yamnet"]
    assert model.get_layer("logits").input.shape == (None, 2 * 5)
    assert model.get_layer("attention_weights_musicnn").output.shape == (None, 2, 1)
    assert model.get_layer("attention_weights_yamnet").output.shape == (None, 4, 1)


@pytest.mark.parametrize(
    ("config", "projected"),
    [
        (AttentionPoolConfig(pca=5, whiten=True), {"project_yamnet"}),
        (ParallelConfig(features=["log_mel", "yamnet", "spectral_stats"], pca=5), {"project_yamnet"}),
    ],
)
def test_a_projection_is_in_the_model_and_saved_with_it(config, projected, specs, stats, make_batch, tmp_path):
    model = build_model(config, specs=specs, stats=stats, num_classes=3)
    layers = {layer.name: layer for layer in model.layers if isinstance(layer, PrincipalComponents)}
    assert layers.keys() == projected
    rng = np.random.default_rng(0)
    mean, projection = rng.normal(size=32).astype(np.float32), rng.normal(size=(32, 5)).astype(np.float32)
    layers["project_yamnet"].set_weights([mean, projection])
    values = rng.normal(size=(2, 4, 32)).astype(np.float32)
    np.testing.assert_allclose(layers["project_yamnet"](values), (values - mean) @ projection, rtol=1e-4, atol=1e-4)

    features, _ = make_batch(config.feature_names)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(features), model(features))
    assert loaded.get_layer("project_yamnet").get_config() == layers["project_yamnet"].get_config()


def test_more_components_than_values_are_an_error(specs, stats):
    with pytest.raises(UserError) as caught:
        build_model(AttentionPoolConfig(pca=33), specs=specs, stats=stats, num_classes=3)
    assert str(caught.value) == "model.pca=33: expected at most 32 components, because yamnet has 32 values"


def test_cnn1d_takes_one_patch():
    spec = FeatureSpec("yamnet", (1, 8), "float16")
    stats = BandStats(num_frames=1, mean=(0.0,) * 8, std=(1.0,) * 8)
    model = build_model(Cnn1dConfig(filters=[4]), specs={"yamnet": spec}, stats={"yamnet": stats}, num_classes=3)
    assert model({"yamnet": np.ones((2, 1, 8), np.float16)}).shape == (2, 3)


def test_attention_is_a_mean_in_any_order_of_patches(specs, stats, small_configs, make_batch):
    model = build_model(small_configs["attention_pool"], specs=specs, stats=stats, num_classes=3)
    features, _ = make_batch(("yamnet",))
    weights = keras.Model(model.input, model.get_layer("attention_weights").output)(features)
    assert weights.shape == (12, 4, 1)
    np.testing.assert_allclose(np.sum(weights, axis=1), 1.0, rtol=1e-6)
    turned = {"yamnet": features["yamnet"][:, ::-1]}
    np.testing.assert_allclose(model(turned), model(features), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["cnn1d", "attention_pool", "parallel"])
def test_an_outlier_of_an_embedding_is_clipped(name, specs, stats, small_configs, make_batch):
    config = small_configs[name]
    model = build_model(config, specs=specs, stats=stats, num_classes=3)
    features, _ = make_batch(config.feature_names)
    farther = {feature: np.copy(values) for feature, values in features.items()}
    features["yamnet"][0, 0, 0], farther["yamnet"][0, 0, 0] = 100.0, 10_000.0
    np.testing.assert_array_equal(model(farther), model(features))


def test_linear_is_a_matrix_times_mean_and_deviation_of_the_patches(specs, stats, make_batch):
    config = LinearConfig(features=["spectral_stats", "yamnet"], pooling="mean_std")
    model = build_model(config, specs=specs, stats=stats, num_classes=3)
    features, _ = make_batch(config.feature_names)
    features["yamnet"][0] = features["yamnet"][0, :1]  # equal patches
    patches = (features["yamnet"].astype(np.float64) + 40.0) / 10.0
    vector = (features["spectral_stats"].astype(np.float64) + 40.0) / 10.0
    joined = np.concatenate([vector, patches.mean(axis=1), patches.std(axis=1)], axis=1)
    kernel, bias = model.get_layer("logits").get_weights()
    np.testing.assert_allclose(model(features), joined @ kernel + bias, atol=2e-5)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(features, training=True))
    assert all(np.isfinite(gradient).all() for gradient in tape.gradient(loss, model.trainable_variables))


def test_linear_refuses_samples(specs, stats):
    with pytest.raises(UserError, match=r"^model\.features=waveform: model linear takes features of shape"):
        build_model(LinearConfig(features=["waveform"]), specs=specs, stats=stats, num_classes=3)


def test_wave1d_scales_full_scale_to_one(specs, stats, small_configs):
    model = build_model(small_configs["wave1d"], specs=specs, stats=stats, num_classes=3)
    samples = np.array([[-32768, 16384]], dtype=np.int16)
    np.testing.assert_array_equal(model.get_layer("rescale")(samples), [[-1.0, 0.5]])


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_no_sum_of_a_training_step_depends_on_the_timing_of_threads(name, small_configs, specs, stats):
    # TensorFlow's AddN begins with whichever input can be overwritten, which depends on what other threads still read.
    # The sum of two tensors is the same in both orders, and the sum of gradients of disjoint slices in all.
    config = small_configs[name]
    model = build_model(config, specs=specs, stats=stats, num_classes=3, pretrained=False)
    optimizer = keras.optimizers.AdamW()
    optimizer.build(model.trainable_variables)
    loop = TrainLoop(
        TrainingConfig(global_batch_size=2), strategy=make_strategy(StrategyConfig()), model=model, optimizer=optimizer
    )
    features = {name: tf.zeros((2, *specs[name].shape), specs[name].dtype) for name in config.feature_names}
    batches = tf.data.Dataset.from_tensors(TrainBatch(features, targets=tf.one_hot([0, 1], 3)))
    steps = loop._compiled_steps.get_concrete_function(iter(batches), tf.constant(1), tf.zeros(4, tf.float64))
    graph = steps.graph.as_graph_def()
    sums = []
    for nodes in (graph.node, *(function.node_def for function in graph.library.function)):
        op_types = {node.name: node.op for node in nodes}
        for node in nodes:
            if node.op == "AddN":
                inputs = [text.split(":")[0] for text in node.input if not text.startswith("^")]
                sums.append([op_types.get(source, "argument") for source in inputs])
    # The one layer of `linear` is used once.
    assert bool(sums) == (name != "linear"), "no gradient is a sum"
    assert [types for types in sums if len(types) > 2 and set(types) != {"StridedSliceGrad"}] == []
