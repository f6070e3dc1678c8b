"""Which option of the group `launch` a target and a command stand for. Imports nothing, for tab completion."""

SERVE = "serve"
VERTEX_SERVE, CLOUD_RUN = "vertex_serve", "cloudrun"


def launch_option(target: str, command: str) -> str:
    """Returns the option: the target, except for servers on Vertex AI, which have settings of their own."""
    return VERTEX_SERVE if (target, command) == ("vertex", SERVE) else target
