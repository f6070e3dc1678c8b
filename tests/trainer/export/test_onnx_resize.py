"""Resized images in ONNX files."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def write_model(path: Path, *, scales: list[float]) -> None:
    """Writes a model that resizes images of (94, 128), as tf2onnx does."""
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    resize = helper.make_node(
        "Resize", ["image", "roi", "scales"], ["resized"], mode="linear", coordinate_transformation_mode="half_pixel"
    )
    copy = helper.make_node("Identity", ["waveform"], ["image"])
    graph = helper.make_graph(
        [copy, resize],
        "resize",
        [helper.make_tensor_value_info("waveform", onnx.TensorProto.FLOAT, [None, 1, 94, 128])],
        [helper.make_tensor_value_info("resized", onnx.TensorProto.FLOAT, [None, 1, None, None])],
        [
            numpy_helper.from_array(np.zeros(0, np.float32), "roi"),
            numpy_helper.from_array(np.array(scales, np.float32), "scales"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(path))


def run(path: Path, image: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path))
    return np.asarray(session.run(["resized"], {"waveform": image})[0])


def test_images_have_the_sizes_of_tensorflow(tmp_path: Path) -> None:
    from trainer.export.onnx_resize import state_sizes

    path = tmp_path / "model.onnx"
    write_model(path, scales=[1, 1, 64 / 94, 64 / 128])
    image = np.random.default_rng(0).normal(size=(3, 1, 94, 128)).astype(np.float32)
    assert run(path, image).shape == (3, 1, 63, 64)
    state_sizes(str(path))
    expected = tf.image.resize(np.moveaxis(image, 1, 3), (64, 64)).numpy()
    np.testing.assert_allclose(np.moveaxis(run(path, image), 1, 3), expected, atol=1e-4)
    assert [one.name for one in onnx.load(str(path)).graph.initializer] == ["sizes_0"]


def test_a_model_without_images_stays_as_it_is(tmp_path: Path) -> None:
    from trainer.export.onnx_resize import state_sizes

    path, helper = tmp_path / "model.onnx", onnx.helper
    info = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None])
    graph = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["y"])],
        "negative",
        [info],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), str(path))
    before = path.read_bytes()
    state_sizes(str(path))
    assert path.read_bytes() == before
