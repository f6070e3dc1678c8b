"""The same data set prepared on every runner that can run here: a thread, processes, Dask and Beam's job service."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apache_beam as beam
import pytest
from distributed import Client, LocalCluster
from interrupted_prepare import interrupt_prepare
from python_script import script_command

from beam_pipelines.audio.config import SegmentConfig
from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.common.python_process import python_command
from beam_pipelines.convert.config import ConvertConfig
from beam_pipelines.convert.pipeline import convert
from beam_pipelines.datasets.config import FolderDatasetConfig
from beam_pipelines.features.config import LogMelConfig, MfccConfig
from beam_pipelines.prepare.config import PrepareConfig, ShardConfig
from beam_pipelines.prepare.pipeline import prepare
from beam_pipelines.runners import dask_cluster
from beam_pipelines.runners.config import (
    DaskRunnerConfig,
    DirectRunnerConfig,
    PortableRunnerConfig,
    RunnerConfig,
)
from beam_pipelines.runners.dataflow_config import DataflowRunnerConfig
from beam_pipelines.runners.run_pipeline import run_pipeline

pytestmark = pytest.mark.slow

NUM_SHARDS = 12
IN_PROCESS_SERVICE = PortableRunnerConfig(
    name="PortableRunner", options=["--job_endpoint=embed", "--environment_type=LOOPBACK"]
)


def config_for(music: Path, output_dir: Path, runner: RunnerConfig) -> PrepareConfig:
    return PrepareConfig(
        output_dir=str(output_dir),
        dataset=FolderDatasetConfig(name="mine", root=str(music)),
        segment=SegmentConfig(duration_s=1.0, hop_s=1.0),
        features={"log_mel": LogMelConfig(n_mels=32), "mfcc": MfccConfig(n_mels=32, n_mfcc=13)},
        shards=ShardConfig(min_shards=4),
        runner=runner,
    )


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def watch_shards(address: str) -> None:
    """Makes the workers of a cluster remember which shards they build."""

    def watch() -> None:
        from beam_pipelines.prepare import shard_dofn as module

        build, module.built = module.ShardBuilder.build, []

        def spy(self, plan, **arguments):
            module.built.append(plan.filename)
            return build(self, plan, **arguments)

        module.ShardBuilder.build = spy

    with Client(address, set_as_default=False) as client:
        client.run(watch)


def shards_by_worker(address: str) -> dict[str, list[str]]:
    """Returns what the workers of a cluster remember."""

    def built() -> list[str]:
        from beam_pipelines.prepare import shard_dofn as module

        return module.built

    with Client(address, set_as_default=False) as client:
        return client.run(built)


def check_shared(built: dict[str, list[str]], shards: dict[str, bytes]) -> None:
    """Makes sure that two workers built all shards, each of them once, and both of them some.

    How many each builds depends on what else the machine does.
    """
    first, second = built.values()
    assert sorted(first + second) == sorted(name for name in shards if ".tfrecord-" in name)
    assert first
    assert second


@contextmanager
def dask_command(*words: object, folder: Path) -> Iterator[None]:
    """Runs a command of Dask in a process of its own, from a folder that workers import nothing from."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dask", *map(str, words)],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "DASK_TEMPORARY_DIRECTORY": str(folder)},
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=6000)


@contextmanager
def cluster_of_commands(folder: Path, *, num_workers: int, worker_options: tuple[object, ...] = ()) -> Iterator[str]:
    """Starts a scheduler and workers, each a command; gives the address."""
    scheduler_file = folder / "scheduler.json"
    at_file = ("--scheduler-file", scheduler_file)
    scheduler = ("scheduler", "--host", "127.0.0.1", "--port", 0, "--no-dashboard", *at_file)
    worker = ("worker", "--host", "127.0.0.1", "--nthreads", 1, "--nworkers", num_workers, "--no-dashboard", *at_file)
    with dask_command(*scheduler, folder=folder), dask_command(*worker, *worker_options, folder=folder):
        deadline_s = time.monotonic() + 600
        while not scheduler_file.is_file():
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        with Client(scheduler_file=str(scheduler_file), set_as_default=False, timeout=600) as client:
            client.wait_for_workers(num_workers, timeout=600)
            address = client.scheduler.address
        yield address


@pytest.fixture(scope="module")
def music(make_collection, tmp_path_factory):
    return make_collection(tmp_path_factory.mktemp("runners") / "music")


@pytest.fixture(scope="module")
def prepared(music, tmp_path_factory):
    """The data set as one thread prepares it."""
    output_dir = tmp_path_factory.mktemp("one-thread") / "out"
    prepare(config_for(music, output_dir, DirectRunnerConfig(mode="in_memory", num_workers=1)))
    assert len(list(output_dir.glob("*.tfrecord-*"))) == NUM_SHARDS
    return contents(output_dir)


@pytest.mark.parametrize(
    "runner",
    [
        DirectRunnerConfig(num_workers=2),
        DirectRunnerConfig(num_workers=2, mode="multi_processing"),
        IN_PROCESS_SERVICE,
    ],
    ids=["threads", "processes", "portable"],
)
def test_the_bytes_are_those_of_one_thread(prepared, music, tmp_path, runner):
    prepare(config_for(music, tmp_path / "again", runner))
    assert contents(tmp_path / "again") == prepared


def test_both_workers_of_a_started_dask_cluster_build_shards(prepared, music, tmp_path, monkeypatch):
    built = {}

    class WatchedCluster(LocalCluster):
        def __enter__(self) -> "WatchedCluster":
            watch_shards(self.scheduler_address)
            return super().__enter__()

        def __exit__(self, *error: object) -> None:
            built.update(shards_by_worker(self.scheduler_address))
            super().__exit__(*error)

    monkeypatch.setattr(dask_cluster, "LocalCluster", WatchedCluster)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    (tmp_path / "temp").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    prepare(config_for(music, tmp_path / "again", DaskRunnerConfig(num_workers=2)))
    assert contents(tmp_path / "again") == prepared
    check_shared(built, prepared)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert list((tmp_path / "temp").iterdir()) == []


def test_both_workers_of_an_existing_dask_cluster_build_shards(prepared, music, tmp_path):
    with cluster_of_commands(tmp_path, num_workers=2) as address:
        watch_shards(address)
        prepare(config_for(music, tmp_path / "again", DaskRunnerConfig(scheduler_address=address)))
        assert contents(tmp_path / "again") == prepared
        check_shared(shards_by_worker(address), prepared)
        # The run does not stop a cluster that it did not start: the next one uses it.
        convert_config = ConvertConfig(
            source=str(music),
            output_dir=str(tmp_path / "dask"),
            runner=DaskRunnerConfig(scheduler_address=address),
        )
        convert(convert_config)
    convert(ConvertConfig(source=str(music), output_dir=str(tmp_path / "direct"), runner=DirectRunnerConfig()))
    wavs = {path: data for path, data in contents(tmp_path / "direct").items() if path.endswith(".wav")}
    assert len(wavs) == 16
    assert {path: data for path, data in contents(tmp_path / "dask").items() if path.endswith(".wav")} == wavs


def test_workers_without_beamtune_are_refused_first(music, tmp_path):
    (tmp_path / "without.py").write_text("import sys\nsys.modules['beam_pipelines'] = None\n")
    options = ("--preload", tmp_path / "without.py")
    with (
        cluster_of_commands(tmp_path, num_workers=1, worker_options=options) as address,
        pytest.raises(UserError) as caught,
    ):
        prepare(config_for(music, tmp_path / "out", DaskRunnerConfig(scheduler_address=address)))
    assert str(caught.value).startswith(f"runner.scheduler_address={address}: its workers cannot run beamtune (")
    assert "No module named 'beam_pipelines" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_workers_with_other_libraries_are_refused_first(music, tmp_path):
    # Preloaded more than once, it must not call itself.
    patch = "m.version = (lambda old: lambda name: '1' if name == 'soxr' else old(name))(m.version)"
    (tmp_path / "older.py").write_text(f"import importlib.metadata as m\n{patch}\n")
    options = ("--preload", tmp_path / "older.py")
    with (
        cluster_of_commands(tmp_path, num_workers=1, worker_options=options) as address,
        pytest.raises(UserError, match=r"the worker tcp://127.0.0.1:\d+ has soxr 1, expected "),
    ):
        prepare(config_for(music, tmp_path / "out", DaskRunnerConfig(scheduler_address=address)))


def test_a_missing_scheduler_is_one_line(music, tmp_path):
    runner = DaskRunnerConfig(scheduler_address="tcp://127.0.0.1:9", connect_timeout_s=1)
    with pytest.raises(UserError) as caught:
        prepare(config_for(music, tmp_path / "out", runner))
    assert str(caught.value) == (
        "runner.scheduler_address=tcp://127.0.0.1:9: no Dask scheduler answers there within 1 s"
    )


@pytest.mark.parametrize("runner", [DaskRunnerConfig(num_workers=1), IN_PROCESS_SERVICE], ids=["dask", "portable"])
def test_the_error_of_a_worker_is_reported(runner):
    def fail(plan):
        raise PermissionError(f"{plan} may not be written")

    with pytest.raises(RunFailedError) as caught:
        run_step(runner, fail)
    assert str(caught.value).startswith("a step of the pipeline failed: PermissionError: shard may not be written")
    assert "\n" not in str(caught.value)


def run_step(runner, step) -> None:
    run_pipeline(lambda pipeline: pipeline | beam.Create(["shard"]) | beam.Map(step), runner, job_name="test")


def test_an_unknown_runner_is_named():
    with pytest.raises(UserError, match=r"runner.name=FlickRunner: there is no such runner"):
        run_step(PortableRunnerConfig(name="FlickRunner"), len)


@pytest.mark.parametrize(
    ("runner", "module", "missing", "extra"),
    [
        (DaskRunnerConfig(), "distributed", "distributed", "dask"),
        (DaskRunnerConfig(), "dask", "dask", "dask"),
        (
            DataflowRunnerConfig(project="my-project", temp_location="gs://my-bucket/temp"),
            "apache_beam.runners.dataflow.internal.apiclient",
            "apache-beam[gcp]",
            "gcp",
        ),
    ],
    ids=["distributed", "dask", "dataflow"],
)
def test_a_missing_package_is_named_with_its_extra(runner, module, missing, extra):
    script = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from beam_pipelines.common.errors import UserError\n"
        "from beam_pipelines.runners.config import *\n"
        "from beam_pipelines.runners.dataflow_config import DataflowRunnerConfig\n"
        "from beam_pipelines.runners.run_pipeline import run_pipeline\n"
        f"try: run_pipeline(None, {runner!r}, job_name='test')\n"
        "except UserError as error: print(error)"
    )
    done = subprocess.run(script_command(script), capture_output=True, text=True, check=True)
    assert done.stdout.endswith(f" needs {missing}, which is not installed: pip install 'beamtune[{extra}]'\n")


def has_processes(session: int) -> bool:
    """Returns whether a process of a session, which is that of its first process, is still there."""
    try:
        os.killpg(session, 0)
    except ProcessLookupError:
        return False
    return True


def test_an_interrupted_run_on_dask_leaves_no_process_and_no_file(make_collection, tmp_path):
    music = make_collection(tmp_path / "music", artists=6, tracks=4, duration_s=20.0)
    (tmp_path / "temp").mkdir()
    process = subprocess.Popen(
        python_command(
            "configs.cli:run",
            *("prepare", "dataset=folder", f"dataset.root={music}"),
            *(f"output_dir={tmp_path / 'out'}", "segment.duration_s=1", "segment.hop_s=0.05", "shards.min_shards=4"),
            *("features=[log_mel,mfcc]", "runner=dask", "runner.num_workers=2"),
        ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path / "temp")},
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    interrupt_prepare(process, tmp_path / "out")
    assert list((tmp_path / "temp").iterdir()) == []
    deadline_s = time.monotonic() + 600
    while has_processes(process.pid):
        assert time.monotonic() < deadline_s, "processes are left"
        time.sleep(0.1)
