"""Networks that do not fit the settings, or are no mere graphs: each is refused with one line."""

import json
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import onnx
import own_networks
import pytest
import tensorflow as tf
from onnx import TensorProto, helper

from beam_pipelines.common.errors import UserError
from beam_pipelines.features import embedding_tensorflow
from beam_pipelines.features.config import EmbeddingConfig
from beam_pipelines.features.embedding import Embedding

WINDOW = 80


def make(path, **values):
    config = EmbeddingConfig(**{"path": str(path), "sample_rate_hz": 8000, "window_s": 0.01, **values})
    return Embedding("mine", config, segment_num_samples=800)


def refused(path, match, **values):
    with pytest.raises(UserError, match=match) as caught:
        make(path, **values)
    assert "\n" not in str(caught.value)


def graph(path, op, shape=("n", WINDOW), *, inputs=("audio",), constants=None, dtypes=(1, 1), **attributes):
    """A network in ONNX of one operation on its inputs and constants; dtypes are those of inputs and output."""
    node = helper.make_node(op, [*inputs, *(constants or {})], ["vectors"], **attributes)
    options = {"inputs": inputs, "constants": constants, "dtype": dtypes[0], "found": dtypes[1]}
    own_networks.save_onnx(path, [node], shape, outputs=["vectors"], **options)
    return path


@pytest.fixture
def network(tmp_path):
    return tmp_path / "net.onnx"


def test_inputs_that_the_settings_do_not_give(network):
    graph(network, "Add", inputs=("audio", "level"))
    refused(network, r"features.mine.path: the network has 2 inputs \(audio, level\), expected one")
    graph(network, "Identity")
    refused(network, "features.mine.input_name=sound: expected audio", input_name="sound")
    graph(network, "Identity", ("n", 1, WINDOW))
    refused(
        network, r"features.mine.axes: the input audio has the shape \(any, 1, 80\), and axes=\[batch,samples\] are 2"
    )
    graph(network, "Identity", ("n", 100))
    refused(network, "the input audio takes 100 samples, and the settings give 80: set window_s=0.0125, or the rate")
    graph(network, "Identity", ("n", 5, 64))
    mel = {"input": "log_mel", "n_fft": 64, "hop_length": 16, "n_mels": 8}
    refused(network, "the input audio takes 64 bands, and the settings give 8: set n_mels=64", **mel)
    graph(network, "Identity", ("n", 7, 8))
    refused(network, "the input audio takes 7 frames, and the settings give 5: set window_s=0.014, or", **mel)
    graph(network, "Identity", (2000, WINDOW))
    refused(network, "the network takes batches of 2000: expected 1 to 1024, or any")
    graph(network, "Cast", dtypes=(TensorProto.INT64, TensorProto.FLOAT), to=TensorProto.FLOAT)
    refused(network, "the input audio is of type int64: expected one of float16, float32")


def test_outputs_that_are_not_one_vector_for_each_window(network):
    own_networks.write_onnx(network, ["n", WINDOW], num_inputs=WINDOW)
    refused(network, r"features.mine.output_name is not set, and the network has 2 outputs \(vectors, logits\): choose")
    refused(
        network, "features.mine.output_name=vector: expected one of vectors, logits; did you mean", output_name="vector"
    )
    graph(network, "Flatten", axis=0)
    refused(network, r"the output of the network has the shape \(1, 800\) .*, expected \(10, values\) of real numbers")
    graph(network, "Cast", dtypes=(TensorProto.FLOAT, TensorProto.INT32), to=TensorProto.INT32)
    refused(network, "and the type int32, expected")
    empty = {"starts": np.array([0]), "ends": np.array([0]), "axes": np.array([1])}
    graph(network, "Slice", constants=empty)
    refused(network, r"the output of the network has the shape \(10, 0\)")


def test_values_that_no_shard_can_hold(network):
    graph(network, "Log")
    refused(network, "^features.mine: the network returns values for silence that are not finite numbers: check gain")
    graph(network, "Mul", constants={"factor": np.array([[1e9]], dtype=np.float32)})
    refused(network, r"features.mine.dtype=float16: the network returns values up to .*: set dtype=float32")
    assert make(network, dtype="float32").spec.shape == (10, WINDOW)


def test_a_network_that_fails_for_the_window_says_so(network):
    graph(network, "Add", ("n", "t"), constants={"offset": np.zeros((1, 7), dtype=np.float32)})
    refused(network, r"^features.mine: the network fails for an input of shape \(10, 80\): ")


def test_damaged_files_are_refused(tmp_path):
    for name, text in (
        ("a.onnx", "is no network of ONNX"),
        ("a.keras", "is no Keras file"),
        ("a.tflite", "cannot load it"),
    ):
        start = {"a.keras": b"PK\x03\x04", "a.tflite": b"\x1c\x00\x00\x00TFL3"}.get(name, b"")
        (tmp_path / name).write_bytes(start + bytes(range(200)))
        refused(tmp_path / name, rf"features.mine.path=.*{name}:? .*{text[:8]}")
    (tmp_path / "b.onnx").write_bytes(b"")
    refused(tmp_path / "b.onnx", "is no network of ONNX: it has no outputs")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(bytes(range(200)))
    refused(tmp_path / "saved", "saved is no SavedModel: ")


def test_missing_libraries_are_named(network, monkeypatch):
    graph(network, "Identity")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    refused(network, r"needs ONNX Runtime, which is not installed: pip install 'beamtune\[onnx\]'")


def test_weights_in_other_files_are_refused(tmp_path, network):
    graph(network, "Mul", constants={"factor": np.ones((1, WINDOW), dtype=np.float32)})
    model = onnx.load(network)
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], location="../weights.bin")
    network.write_bytes(model.SerializeToString())
    refused(
        network, "net.onnx keeps the tensor 'factor' in another file: save the network with its weights in one file"
    )
    inner = helper.make_graph([], "then", [], [], [model.graph.initializer[0]])
    node = helper.make_node("If", ["audio"], ["vectors"], then_branch=inner, else_branch=inner)
    own_networks.save_onnx(network, [node], ["n", WINDOW], outputs=["vectors"])
    refused(network, "keeps the tensor 'factor' in another file")


def test_unknown_operations_of_onnx_are_refused(network):
    node = helper.make_node("Run", ["audio"], ["vectors"], domain="org.evil")
    own_networks.save_onnx(network, [node], ["n", WINDOW], outputs=["vectors"])
    refused(network, "ONNX Runtime cannot load the network: ")


def test_a_keras_file_with_code_is_refused(tmp_path):
    path = tmp_path / "net.keras"
    inputs = keras.Input([WINDOW])
    keras.Model(inputs, keras.layers.Lambda(lambda x: x * 2)(inputs)).save(path)
    refused(
        path, "net.keras holds '(Lambda|__lambda__)' of .*, which would run code of the file: export the network as"
    )


def rewritten(source: Path, target: Path, *, config=None, extra=()):
    """A copy of a Keras file with another configuration, and with more files."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            text = old.read(name)
            new.writestr(name, config(text) if config and name == "config.json" else text)
        for name, content in extra:
            new.writestr(name, content)
    return target


@pytest.fixture(scope="module")
def keras_file(tmp_path_factory):
    return own_networks.write_keras(tmp_path_factory.mktemp("k") / "net.keras", [WINDOW], num_inputs=WINDOW)


@pytest.mark.parametrize(
    ("module", "class_name"),
    [("os", "system"), ("keras.utils", "get_file"), ("keras.config", "enable_unsafe_deserialization")],
)
def test_a_keras_file_that_names_other_modules_is_refused(keras_file, tmp_path, module, class_name):
    def change(text):
        settings = json.loads(text)
        settings["config"]["layers"][-1] |= {"module": module, "class_name": class_name}
        return json.dumps(settings)

    path = rewritten(keras_file, tmp_path / "net.keras", config=change)
    refused(path, f"net.keras holds {class_name!r} of {module}, which would run code of the file")


def test_a_keras_file_that_is_an_archive_bomb_or_has_other_files_is_refused(keras_file, tmp_path, monkeypatch):
    bomb = rewritten(keras_file, tmp_path / "net.keras", extra=[("assets/zeros", bytes(10**7))])
    assert bomb.stat().st_size < 10**5
    monkeypatch.setattr(embedding_tensorflow, "MAX_NETWORK_BYTES", 10**7)
    refused(bomb, r"net.keras has 10,\d\d\d,\d\d\d bytes unpacked: expected at most 10,000,000")
    for name in ("../../evil.py", "assets/../../evil", "code.py"):
        other = rewritten(keras_file, tmp_path / "net.keras", extra=[(name, b"")])
        refused(other, f"net.keras holds {name!r}, which is no part of a Keras file")


def python_code(audio):
    return {"vectors": tf.ensure_shape(tf.numpy_function(lambda x: x, [audio], tf.float32), [None, WINDOW])}


def read_file(audio):
    return {"vectors": audio + tf.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), tf.float32)}


def save_file(audio):
    tf.raw_ops.SaveV2(prefix="/tmp/evil", tensor_names=["a"], shape_and_slices=[""], tensors=[audio])  # noqa: S108
    return {"vectors": audio}


@pytest.mark.parametrize(("call", "ops"), [(python_code, "PyFunc"), (read_file, "ReadFile"), (save_file, "SaveV2")])
def test_a_saved_model_that_runs_code_or_accesses_files_is_refused(tmp_path, call, ops):
    own_networks.write_saved_model(tmp_path / "net", [None, WINDOW], num_inputs=WINDOW, call=call)
    refused(tmp_path / "net", rf"net has the operations {ops}, which run other code or access files")


def test_a_saved_model_without_one_signature_is_refused(tmp_path):
    tf.saved_model.save(own_networks.Module(WINDOW), str(tmp_path / "net"))
    refused(tmp_path / "net", r"net has the signatures \(none\): expected serving_default, or only one")


def test_operations_that_are_not_built_in_are_refused_in_tflite(tmp_path):
    function = tf.function(lambda audio: tf.raw_ops.Betainc(a=audio, b=audio, x=audio))
    concrete = function.get_concrete_function(tf.TensorSpec([1, WINDOW], tf.float32))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    converter.allow_custom_ops = True
    (tmp_path / "net.tflite").write_bytes(converter.convert())
    refused(tmp_path / "net.tflite", "net.tflite has the operations Betainc, which run other code or access files")
