"""Networks of TensorFlow: Keras files, SavedModels and TensorFlow Lite, on the CPU.

A Keras file is loaded without its own code, a SavedModel is searched for operations that run Python or access files
before it is loaded, and TensorFlow Lite runs built-in operations only.
"""

import json
import os
import re
import threading
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from beam_pipelines.common.errors import UserError, first_line
from beam_pipelines.features.embedding_config import EmbeddingConfig
from beam_pipelines.features.embedding_files import MAX_NETWORK_BYTES, read_network
from beam_pipelines.features.embedding_network import OwnNetwork, Port, Shape, chosen_output, only_input
from beam_pipelines.features.patch_network import import_tensorflow

_SIGNATURE = "serving_default"
# Operations that run Python, access files, processes or networks, or load code. XlaCallModule is how JAX saves a graph.
_REFUSED_OPS = re.compile(
    r"PyFunc|File(?!spec|name)|Reader|Dataset|Iterator|Lookup.*Import|Remote|Rpc|Socket|Summary|Debug|Print|TPU|Tpu"
    r"|Collective|_Send|_Recv|Library|Lmdb|LMDB|Xla(?!CallModule)|Bigtable|Nccl|Infeed|Outfeed"
    # Those that take the name of a file as an attribute, or end the process.
    r"|ImmutableConst|RecordInput|Remap|FixedUnigram|Skipgram|codeProto|StatisticsSaver|Dump|DTensor|Distributed"
    r"|Abort|^_?(Host)?(Send|Recv)$"
)
# Those that save and restore the variables are in every SavedModel, and in no network.
_SAVING_OPS = re.compile(r"^(Save|Restore|MergeV2Checkpoints)")
_REFUSED_LAYERS = frozenset({"Lambda", "__lambda__", "function", "TFSMLayer", "TorchModuleWrapper", "JaxLayer"})
_KERAS_MODULES = re.compile(
    r"keras|keras\.(src\.)?"
    r"(activations|constraints|dtype_policies|initializers|layers|models|ops|quantizers|random|regularizers)(\.\w+)*"
)
_KERAS_FILES = re.compile(r"metadata\.json|config\.json|model\.weights\.h5|assets/.*")
_CUSTOM_OP = 32  # BuiltinOperator.CUSTOM of TensorFlow Lite's schema

_Run = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


def load_keras(path: str, config: EmbeddingConfig, *, key: str) -> OwnNetwork:
    """Loads a `.keras` file, whose layers are all Keras' own.

    Args:
        path: The local file.
        config: The settings.
        key: The key of the feature, for messages.

    Raises:
        UserError: TensorFlow is not installed, the file is damaged, too large when unpacked, or has code, or the
            settings name an input or output that it does not have.
    """
    tf = import_tensorflow(config.kind)
    _check_keras_file(path, key=f"{key}.path={path}")
    import keras

    try:
        with tf.device("/CPU:0"):
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise UserError(f"{key}.path={path}: Keras cannot load the network: {first_line(error)}") from error
    ports = [Port(one.name, tuple(one.shape), str(one.dtype)) for one in model.inputs]
    source = only_input(ports, name=config.input_name, key=key)
    names = list(getattr(model, "output_names", [])) or [f"output_{index}" for index in range(len(model.outputs))]
    index = chosen_output(names, name=config.output_name, key=key)
    return _of_function(tf, lambda inputs: tf.nest.flatten(model(inputs, training=False))[index], source)


def load_saved_model(path: str, config: EmbeddingConfig, *, key: str) -> OwnNetwork:
    """Loads the signature `serving_default`, or the only one, of a folder; arguments and errors: as `load_keras`."""
    tf = import_tensorflow(config.kind)
    _check_saved_model(path, key=f"{key}.path={path}")
    try:
        with tf.device("/CPU:0"):
            loaded = tf.saved_model.load(path)
    except Exception as error:
        raise UserError(f"{key}.path={path}: TensorFlow cannot load the network: {first_line(error)}") from error
    names = sorted(loaded.signatures)
    if _SIGNATURE not in names and len(names) != 1:
        raise UserError(
            f"{key}.path={path} has the signatures {', '.join(names) or '(none)'}: expected {_SIGNATURE}, or only one"
        )
    function = loaded.signatures[_SIGNATURE if _SIGNATURE in names else names[0]]
    ops = _ops_of(function.graph.as_graph_def())
    _refuse(sorted(op for op in ops if _SAVING_OPS.match(op)), key=f"{key}.path={path}")
    _, inputs = function.structured_input_signature
    source = only_input([_port(name, spec) for name, spec in inputs.items()], name=config.input_name, key=key)
    outputs = sorted(function.structured_outputs)
    output = outputs[chosen_output(outputs, name=config.output_name, key=key)]

    def call(values: Any) -> Any:
        _ = loaded  # which keeps the variables: the function refers to them weakly
        return function(**{source.name: values})[output]

    return _of_function(tf, call, source)


def load_tflite(path: str, config: EmbeddingConfig, *, key: str) -> OwnNetwork:
    """Loads a file of TensorFlow Lite of built-in operations. Arguments and errors: as `load_keras`."""
    content = read_network(path, key=f"{key}.path={path}")
    interpreter_class, schema = _litert(config)
    try:
        codes = schema.Model.GetRootAsModel(content, 0)
        operators = [codes.OperatorCodes(index) for index in range(codes.OperatorCodesLength())]
        custom = sorted({_custom_name(one) for one in operators if one.BuiltinCode() == _CUSTOM_OP})
        _refuse(custom, key=f"{key}.path={path}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TensorFlow asks for LiteRT, which computes the same
            interpreter = interpreter_class(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{key}.path={path}: TensorFlow Lite cannot load it: {first_line(error)}") from error
    details = interpreter.get_input_details()
    source = only_input([_lite_port(one) for one in details], name=config.input_name, key=key)
    outputs = interpreter.get_output_details()
    output = outputs[chosen_output([one["name"] for one in outputs], name=config.output_name, key=key)]["index"]
    lock = threading.Lock()

    def run(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        with lock:  # the interpreter has one set of buffers
            if tuple(interpreter.get_input_details()[0]["shape"]) != array.shape:
                interpreter.resize_tensor_input(details[0]["index"], array.shape, strict=True)
                interpreter.allocate_tensors()
            interpreter.set_tensor(details[0]["index"], array)
            interpreter.invoke()
            found: npt.NDArray[Any] = interpreter.get_tensor(output)
            return found

    return OwnNetwork(input=source, run=run)


def _of_function(tf: Any, call: Callable[[Any], Any], source: Port) -> OwnNetwork:
    """Returns a network that calls a function of TensorFlow."""
    compiled = tf.function(call)

    def run(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        with tf.device("/CPU:0"):
            found: npt.NDArray[Any] = compiled(tf.constant(array)).numpy()
        return found

    def graph(shape: Shape) -> Callable[[Any], Any]:
        from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

        concrete = tf.function(call).get_concrete_function(tf.TensorSpec(shape, source.dtype))
        frozen = convert_variables_to_constants_v2(concrete)
        return lambda values: frozen(values)[0]

    return OwnNetwork(input=source, run=run, graph=graph)


def _check_keras_file(path: str, *, key: str) -> None:
    """Raises a UserError unless the archive is small, has the files of Keras alone, and only layers of Keras."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            size_bytes = sum(entry.file_size for entry in entries)
            if size_bytes > MAX_NETWORK_BYTES:
                raise UserError(f"{key} has {size_bytes:,} bytes unpacked: expected at most {MAX_NETWORK_BYTES:,}")
            for entry in entries:
                if _KERAS_FILES.fullmatch(entry.filename) is None or ".." in entry.filename.split("/"):
                    raise UserError(f"{key} holds {entry.filename!r}, which is no part of a Keras file")
            settings = json.loads(archive.read("config.json"))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, RecursionError) as error:
        raise UserError(f"{key} is no Keras file: {first_line(error)}") from error
    for value in _mappings(settings):
        module, name = value.get("module"), value.get("class_name")
        if (module is not None and not _KERAS_MODULES.fullmatch(str(module))) or name in _REFUSED_LAYERS:
            raise UserError(
                f"{key} holds {name!r} of {module}, which would run code of the file: export the network as a "
                "SavedModel or to ONNX"
            )


def _mappings(value: Any) -> Iterator[dict[str, Any]]:
    """Yields all mappings in a JSON value."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            yield one
            left.extend(one.values())
        elif isinstance(one, list):
            left.extend(one)


def _check_saved_model(path: str, *, key: str) -> None:
    """Raises a UserError if a graph of a SavedModel has operations that are refused, before it is loaded."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    content = read_network(os.path.join(path, "saved_model.pb"), key=key)
    try:
        saved.ParseFromString(content)
    except Exception as error:
        raise UserError(f"{key} is no SavedModel: {first_line(error)}") from error
    ops = {op for meta_graph in saved.meta_graphs for op in _ops_of(meta_graph.graph_def)}
    _refuse(sorted(op for op in ops if _REFUSED_OPS.search(op)), key=key)
    # Loading calls those of the functions of objects that initialise resources. Variables are saved by other functions.
    objects = [(one.graph_def, one.object_graph_def.concrete_functions) for one in saved.meta_graphs]
    own = {op for graph_def, names in objects for op in _called_ops(graph_def, names)}
    _refuse(sorted(op for op in own if _SAVING_OPS.match(op)), key=key)


def _called_ops(graph_def: Any, names: Iterable[str]) -> set[str]:
    """Returns the names of the operations of some functions of a graph, and of the functions that they call."""
    functions = {one.signature.name: one.node_def for one in graph_def.library.function}
    ops: set[str] = set()
    reached: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name in reached or name not in functions:
            continue
        reached.add(name)
        for node in functions[name]:
            ops.add(node.op)
            values = node.attr.values()
            left += [node.op, *(one.func.name for one in values), *(f.name for one in values for f in one.list.func)]
    return ops


def _ops_of(graph_def: Any) -> set[str]:
    """Returns the names of the operations of a graph and of its functions."""
    nodes: Iterable[Any] = [*graph_def.node, *(node for one in graph_def.library.function for node in one.node_def)]
    return {node.op for node in nodes}


def _refuse(ops: list[str], *, key: str) -> None:
    if ops:
        raise UserError(
            f"{key} has the operations {', '.join(ops)}, which run other code or access files: expected a graph that "
            "computes only"
        )


def _port(name: str, spec: Any) -> Port:
    return Port(name, None if spec.shape.rank is None else tuple(spec.shape), spec.dtype.name)


def _lite_port(details: Any) -> Port:
    shape = tuple(None if size < 0 else int(size) for size in details["shape_signature"])
    return Port(details["name"], shape, np.dtype(details["dtype"]).name)


def _custom_name(operator: Any) -> str:
    return bytes(operator.CustomCode() or b"?").decode(errors="replace")


def _litert(config: EmbeddingConfig) -> tuple[Any, Any]:
    """Returns the interpreter and the schema of LiteRT where it is installed, and of TensorFlow elsewhere."""
    try:
        from ai_edge_litert import interpreter as litert
        from ai_edge_litert import schema_py_generated as schema
    except ModuleNotFoundError:
        litert = import_tensorflow(config.kind).lite
        from tensorflow.lite.python import schema_py_generated as schema
    return litert.Interpreter, schema
