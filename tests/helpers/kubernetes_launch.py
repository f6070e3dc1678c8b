"""Launches on Kubernetes."""

from configs.cli import main

IMAGE = f"registry.example/music/beamtune:0.1.0@sha256:{'0123456789abcdef' * 4}"
TRAIN = ("train", "data_dir=gs://bucket/data", "run_dir=gs://bucket/run", "epochs=3")
TUNE = ("tune", "data_dir=/data/prepared", "search_dir=/data/search", "launch.volumes={/data: music}")
SERVE = ("serve", "gs://bucket/export", "launch.token_secret=token")


def launch(*words: str) -> int:
    """Runs `beamtune launch kubernetes`; returns the exit code."""
    return main(["launch", "kubernetes", *words, f"launch.image={IMAGE}"])
