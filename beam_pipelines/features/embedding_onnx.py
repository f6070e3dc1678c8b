"""Networks in ONNX, run by ONNX Runtime on one thread."""

from collections.abc import Iterator
from typing import Any

import numpy.typing as npt

from beam_pipelines.common.errors import UserError, first_line
from beam_pipelines.features.embedding_config import EmbeddingConfig
from beam_pipelines.features.embedding_files import read_network
from beam_pipelines.features.embedding_network import OwnNetwork, Port, chosen_output, only_input

_DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}
_DTYPES |= {f"tensor(int{bits})": f"int{bits}" for bits in (8, 16, 32, 64)}


def load_onnx(path: str, config: EmbeddingConfig, *, key: str) -> OwnNetwork:
    """Loads a network from the bytes of its file alone.

    Args:
        path: The local file.
        config: The settings.
        key: The key of the feature, for messages.

    Raises:
        UserError: ONNX Runtime is not installed, the file is no network or refers to other files, or the settings name
            an input or output that it does not have.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise UserError(
            f"{key}.path={path} needs ONNX Runtime, which is not installed: pip install 'beamtune[onnx]'"
        ) from error
    content = read_network(path, key=f"{key}.path={path}")
    _check_content(content, onnx, key=f"{key}.path={path}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 4  # errors are raised
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise UserError(f"{key}.path={path}: ONNX Runtime cannot load the network: {first_line(error)}") from error
    source = only_input([_port(one) for one in session.get_inputs()], name=config.input_name, key=key)
    names = [one.name for one in session.get_outputs()]
    output = names[chosen_output(names, name=config.output_name, key=key)]

    def run(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        found: npt.NDArray[Any] = session.run([output], {source.name: array})[0]
        return found

    return OwnNetwork(input=source, run=run)


def _port(argument: Any) -> Port:
    shape = tuple(size if isinstance(size, int) and size > 0 else None for size in argument.shape)
    return Port(argument.name, shape, _DTYPES.get(argument.type, argument.type))


def _check_content(content: bytes, onnx: Any, *, key: str) -> None:
    """Raises a UserError unless the bytes are a network of ONNX whose weights are all in them."""
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:
        raise UserError(f"{key} is no network of ONNX: {first_line(error)}") from error
    if not model.graph.output:
        raise UserError(f"{key} is no network of ONNX: it has no outputs")
    graphs = [model.graph, *model.functions]
    for tensor in (tensor for graph in graphs for tensor in _tensors(graph)):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise UserError(
                f"{key} keeps the tensor {tensor.name!r} in another file: save the network with its weights in one "
                "file, e.g. by onnx.save(onnx.load(FILE), NEW)"
            )


def _tensors(graph: Any) -> Iterator[Any]:
    """Yields the tensors of a graph or of a function, and of the graphs in it."""
    yield from getattr(graph, "initializer", ())
    for sparse in getattr(graph, "sparse_initializer", ()):
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)
