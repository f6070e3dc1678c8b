"""The images of infra/docker, built here, and what they read. Only `scripts/test --images` runs these tests."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from container_engine import Engine, missing_programs
from wheels import MODEL

Prepare = Callable[..., Path]


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if "TEST_IMAGES" not in os.environ:
        pytest.skip("scripts/test --images runs these tests")
    if os.geteuid() != 0 or missing_programs():
        pytest.skip(f"expected root and {', '.join(missing_programs()) or 'the programs that are installed'}")
    kept = os.environ.get("TEST_IMAGES_FOLDER")
    engine = Engine(Path(kept).resolve() if kept else tmp_path_factory.mktemp("engine"))
    engine.make_base_images()
    yield engine
    if not kept:
        engine.remove_all()


@pytest.fixture(scope="session")
def worker(engine: Engine) -> str:
    return engine.build("worker")


@pytest.fixture(scope="session")
def trainer(engine: Engine) -> str:
    return engine.build("trainer")


@pytest.fixture(scope="session")
def serve(engine: Engine) -> str:
    return engine.build("serve")


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that the user of the images may write to; it is at the same path in containers."""
    folder = tmp_path_factory.mktemp("work")
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def prepare_words(work: Path, make_collection: Callable[..., Path]) -> list[str]:
    """The words of `beamtune prepare` for a small collection, without those for its output and its runner."""
    music = make_collection(work / "music", genres=3, artists=4, tracks=1)
    segments = ("segment.duration_s=1", "segment.hop_s=1", "features.log_mel.n_mels=16", "shards.min_shards=3")
    return ["prepare", "dataset=folder", f"dataset.root={music}", *segments]


@pytest.fixture(scope="session")
def prepared(work: Path, prepare_words: list[str], beamtune: Callable[..., "object"]) -> Path:
    """The collection, prepared on this machine."""
    done = beamtune(*prepare_words, f"output_dir={work / 'direct'}", "runner.num_workers=1")
    assert done.returncode == 0, done.stderr  # type: ignore[attr-defined]
    return work / "direct"


@pytest.fixture(scope="session")
def run(engine: Engine, trainer: str, work: Path, prepared: Path) -> Path:
    """A run of one epoch, by the image `trainer`."""
    words = ("train", f"data_dir={prepared}", f"run_dir={work / 'run'}", *MODEL, "board.num_embeddings=0")
    done = engine.run(trainer, *words, mounts={work: str(work)})
    assert done.returncode == 0, done.stderr
    return work / "run"


@pytest.fixture(scope="session")
def export(engine: Engine, trainer: str, work: Path, run: Path) -> Path:
    """The export of the run, by the image `trainer`."""
    done = engine.run(trainer, "export", str(run), f"output_dir={work / 'export'}", mounts={work: str(work)})
    assert done.returncode == 0, done.stderr
    return work / "export"
