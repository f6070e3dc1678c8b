"""Exits with 0 if the service of this container is ready; the port is the one that the platform chose, or 8080."""

import os
import urllib.request

port = os.environ.get("AIP_HTTP_PORT") or os.environ.get("PORT") or "8080"
urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=4).close()
