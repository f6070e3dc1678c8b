"""The predict method of TensorFlow Serving's REST API for one saved model, with nothing of beamtune.

    POST /v1/models/NAME:predict    {"signature_name": …, "instances": [row, …]} or {"inputs": {name: values, …}}

https://www.tensorflow.org/tfx/serving/api_rest: rows are stacked, and the outputs are split by their first axis, which
must be the same for all; columns are taken and returned as they are. Errors of the graph are answered with 400.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import tensorflow as tf


@contextmanager
def serving(saved_model: str, *, name: str) -> Iterator[str]:
    """Serves a saved model on this machine; yields the address of its predict method."""
    model = tf.saved_model.load(saved_model)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path != f"/v1/models/{name}:predict":
                return self._answer(404, {"error": f"no such method: {self.path}"})
            try:
                return self._answer(200, _predict(model, json.loads(body)))
            except (ValueError, KeyError, TypeError, tf.errors.InvalidArgumentError) as error:
                return self._answer(400, {"error": str(error)})

        def _answer(self, status: int, content: dict[str, Any]) -> None:
            text = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/models/{name}:predict"
        finally:
            server.shutdown()
            thread.join()


def _predict(model: Any, request: dict[str, Any]) -> dict[str, Any]:
    signature = model.signatures[request.get("signature_name", "serving_default")]
    specs = signature.structured_input_signature[1]
    rows = request.get("instances")
    columns = {name: [row[name] for row in rows] for name in specs} if rows is not None else request["inputs"]
    found = signature(**{name: tf.constant(columns[name], spec.dtype) for name, spec in specs.items()})
    outputs = {name: _to_json(values.numpy()) for name, values in found.items()}
    if rows is None:
        return {"outputs": outputs}
    if any(len(values) != len(rows) for values in outputs.values()):
        raise ValueError("inconsistent batch size of the outputs")
    return {"predictions": [{name: values[index] for name, values in outputs.items()} for index in range(len(rows))]}


def _to_json(values: Any) -> Any:
    return np.vectorize(bytes.decode, otypes=[object])(values).tolist() if values.dtype == object else values.tolist()
