"""Dask: the cluster, and the options with which Beam uses all of its workers."""

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress

import dask
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.dask.dask_runner import DaskRunner
from distributed import Client, LocalCluster, default_client

from beam_pipelines.common.errors import UserError
from beam_pipelines.features.library_versions import library_versions
from beam_pipelines.runners.backend import Backend
from beam_pipelines.runners.config import DaskRunnerConfig


@contextmanager
def open_dask(config: DaskRunnerConfig) -> Iterator[Backend]:
    """Yields the runner on a running cluster, or on a local one that is started for it and closed at the end.

    Raises:
        UserError: No scheduler answers, or the workers have other library versions than this machine.
    """
    with ExitStack() as stack:
        address = config.scheduler_address
        if address is None:
            address = stack.enter_context(_local_cluster(config.num_slots()))
        else:
            _check_workers(address, timeout_s=config.connect_timeout_s)
        stack.callback(_close_client)
        yield Backend(DaskRunner(), _options(address, timeout_s=config.connect_timeout_s))


def _options(address: str, *, timeout_s: int) -> PipelineOptions:
    return PipelineOptions(
        [
            f"--dask_client_address={address}",
            f"--dask_connection_timeout={timeout_s}",
            # Beam puts 128 elements into a partition, and its Reshuffle does nothing on Dask. A partition is what a
            # worker gets: all shards of most data sets would be built by one worker, one after the other.
            "--dask_partition_size=1",
        ]
    )


@contextmanager
def _local_cluster(num_workers: int) -> Iterator[str]:
    """Starts a cluster of processes with one thread each on this machine; yields the address of its scheduler."""
    with (
        tempfile.TemporaryDirectory(prefix="beamtune-dask-") as scratch_dir,
        dask.config.set(temporary_directory=scratch_dir),
        LocalCluster(
            n_workers=num_workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            # No limit, as with the other runners: the user chooses the number of workers.
            memory_limit=0,
            silence_logs=logging.ERROR,
        ) as cluster,
    ):
        yield cluster.scheduler_address


def _check_workers(address: str, *, timeout_s: int) -> None:
    """Checks that a scheduler answers and that its workers have the library versions of this machine.

    Raises:
        UserError: It does not answer, or a worker has another version: the bytes of the shards depend on it.
    """
    key = f"runner.scheduler_address={address}"
    try:
        client = Client(address, timeout=timeout_s, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{key}: no Dask scheduler answers there within {timeout_s} s") from error
    with client:
        here = library_versions({})
        try:
            versions_of: Mapping[str, Mapping[str, str]] = client.run(library_versions, {})
        except Exception as error:  # a failed import on a worker is raised here, as an exception of any kind
            why = str(error) or type(error).__name__
            raise UserError(f"{key}: its workers cannot run beamtune ({why}): install the same one there") from error
    for worker, there in versions_of.items():
        for library, version in here.items():
            if there.get(library) != version:
                raise UserError(
                    f"{key}: the worker {worker} has {library} {there.get(library)}, expected {version} as on this "
                    "machine, because the data depend on it"
                )


def _close_client() -> None:
    """Closes the client that Beam opens and does not close."""
    with suppress(ValueError):  # no client, because the pipeline was not built
        default_client().close()
