"""The process of the emulator: `python -m gcs.server FOLDER PORT`, with port 0 for any.

It writes ca.pem, service-account.json and access.jsonl to the folder, prints the port, and ends when its
standard input does.
"""

import logging
import os
import sys
import threading
from pathlib import Path

from gcs import certificates
from gcs.front import make_server


def main() -> None:
    """Serves until the parent process closes the pipe, or dies."""
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    logging.disable(logging.ERROR)  # the emulator logs each missing object
    certificates.write_certificates(folder)
    certificates.write_service_account(folder / "service-account.json")
    (folder / "gcloud").mkdir(exist_ok=True)
    try:
        server = make_server(folder, port)
    except (OSError, OverflowError) as error:
        sys.exit(f"port {port} of 127.0.0.1: {error}")
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    os._exit(0)  # without waiting for clients that keep connections open


if __name__ == "__main__":
    main()
