"""MLflow's own tracking server, in a process of its own: python mlflow_server.py FOLDER writes its port to FOLDER/port.

`mlflow server` would need the whole of MLflow, with pandas; its Flask application does not.
"""

import os
import sys
from pathlib import Path


def main(folder: Path) -> None:
    """Serves until the process is killed."""
    store, artifacts = f"sqlite:///{folder / 'mlflow.db'}", str(folder / "artifacts")
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    # What `mlflow server` sets.
    os.environ["_MLFLOW_SERVER_FILE_STORE"] = store
    os.environ["_MLFLOW_SERVER_SERVE_ARTIFACTS"] = "true"
    os.environ["_MLFLOW_SERVER_ARTIFACT_DESTINATION"] = artifacts
    os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = "mlflow-artifacts:/"
    from mlflow.server.handlers import initialize_backend_stores

    initialize_backend_stores(store, None, artifacts)
    from mlflow.server import app
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, app, threaded=True)
    unfinished = folder / "port.tmp"
    unfinished.write_text(str(server.port))
    unfinished.rename(folder / "port")
    server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
