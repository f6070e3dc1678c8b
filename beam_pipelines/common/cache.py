"""The folder of files that are downloaded once and used by many preparations."""

import os

CACHE_VARIABLE = "BEAMTUNE_CACHE"


def cache_dir() -> str:
    """Returns the folder, which may not exist yet: $BEAMTUNE_CACHE, or `beamtune` in the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE, "")
    if chosen:
        return os.path.abspath(os.path.expanduser(chosen))
    user_cache = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says that relative paths are ignored.
    if not os.path.isabs(user_cache):
        user_cache = os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(user_cache, "beamtune")
