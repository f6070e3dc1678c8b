"""`beamtune sync`: makes a tree of files equal to another one, where at least one of both is in a bucket."""

import os
import shlex
import shutil
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TextIO

from beam_pipelines.common import paths
from beam_pipelines.common.errors import RunAgainError, RunFailedError, UserError
from beam_pipelines.common.lease import Lease, holding
from beam_pipelines.common.output_streams import shown_names, visible_name
from beam_pipelines.common.progress import ProgressReporter
from beam_pipelines.common.terminal import counted, stderr
from beam_pipelines.sync.bucket_folder import BucketFolder
from beam_pipelines.sync.config import SyncConfig
from beam_pipelines.sync.download import Downloads
from beam_pipelines.sync.errors import ChangingError
from beam_pipelines.sync.local_tree import LocalFolder, crc32c_of
from beam_pipelines.sync.names import file_problem, object_problem
from beam_pipelines.sync.transfers import Task, Transfers, file_tasks, run_tasks
from beam_pipelines.sync.trees import (
    Copy,
    Plan,
    Tree,
    TreeFile,
    find_equal_sizes,
    is_marker,
    make_plan,
    without_folder_names,
)
from beam_pipelines.sync.upload import Uploads

_MIB = 1 << 20
_MAX_LOGGED = 10

Folder = LocalFolder | BucketFolder


def sync(config: SyncConfig, *, dry_run: bool, stream: TextIO) -> None:
    """Copies what differs, deletes what was asked for, and prints a summary.

    Args:
        config: The settings.
        dry_run: Whether to print what would be done, and to write nothing.
        stream: Where to print.

    Raises:
        UserError: A folder, a right or a value is wrong.
        RunFailedError: Some files could not be copied.
        RunAgainError: Files have changed while they were copied, or the service cannot be reached.
    """
    run = _Run(config)
    source = run.list_source()
    if dry_run:
        plan = run.compare(source)
        print_plan(plan, verb=run.verb, delete=config.delete, stream=stream)
    else:
        with holding(run.destination.uri, key="destination") as lease:
            plan = run.compare(source)
            run.copy(plan, lease=lease)
    print_summary(plan, config=config, verb=run.verb, dry_run=dry_run, stream=stream)


def _folder(uri: str) -> Folder:
    return LocalFolder(uri.rstrip("/") or "/") if paths.is_local(uri) else BucketFolder(uri.rstrip("/"))


class _Run:
    """One run of the command."""

    def __init__(self, config: SyncConfig) -> None:
        self._config = config
        self._source = _folder(config.source)
        self.destination = _folder(config.destination)
        self._transfers = Transfers()
        is_up, is_down = paths.is_local(config.source), paths.is_local(config.destination)
        self.verb = "upload" if is_up else "download" if is_down else "copy"

    def list_source(self) -> Tree:
        """Lists the source and prints notes on what is left out.

        Raises:
            UserError: It has no files, or an unknown part of it would be deleted.
        """
        uri = self._source.uri
        if isinstance(self._source, LocalFolder) and os.path.exists(uri) and not os.path.isdir(uri):
            raise self._one_file()
        tree = self._source.list(problem=self._problem)
        if isinstance(self.destination, LocalFolder):
            tree = without_folder_names(tree)
        for reason, names in tree.left_out.items():
            print(f"note: {reason} left out ({len(names)}): {shown_names(names)}", file=stderr())
        if not tree.files:
            if isinstance(self._source, BucketFolder) and self._source.is_object():
                raise self._one_file()
            is_missing = isinstance(self._source, LocalFolder) and not os.path.lexists(uri)
            found = "there is no such folder" if is_missing else "there is no file in it"
            raise UserError(f"source={uri}: {found}: expected a folder with files; nothing is copied or deleted")
        if self._config.delete and tree.unread:
            raise UserError(
                f"delete=true: {shown_names(tree.unread)} of source={uri} cannot be read, so that it is not known "
                "which files the source has: make it readable, or leave out delete=true"
            )
        return tree

    def _one_file(self) -> UserError:
        command = shlex.join(["gcloud", "storage", "cp", self._source.uri, self._config.destination])
        return UserError(f"source={self._source.uri}: it is one file: expected a folder; to copy a file: {command}")

    def _problem(self, name: str) -> str | None:
        if isinstance(self.destination, LocalFolder):
            return file_problem(name, folder=self.destination.uri)
        return object_problem(name, prefix=self.destination.prefix)

    def compare(self, source: Tree) -> Plan:
        """Compares the source with the destination."""
        destination = self.destination.list(problem=lambda name: None)
        equal: set[str] = set()

        def check(file: TreeFile, other: TreeFile) -> int:
            try:
                if _crc32c(self._source, file) == _crc32c(self.destination, other):
                    equal.add(file.name)
            except OSError:  # copying it says why
                pass
            self._transfers.add(file.size_bytes)
            return 1

        pairs = find_equal_sizes(source, destination)
        self._run([partial(check, *pair) for pair in pairs], "comparing", [file for file, _ in pairs])
        return make_plan(source, destination, equal=equal)

    def copy(self, plan: Plan, *, lease: Lease) -> None:
        """Copies and deletes files.

        Raises:
            RunFailedError: Some files could not be copied; none is deleted.
            RunAgainError: Some have changed while they were copied.
        """
        if isinstance(self.destination, LocalFolder):
            _check_space(plan, self.destination)
        self._delete(plan.outdated_markers, lease=lease)
        for is_last in (False, True):
            copies = [copy for copy in plan.copies if is_marker(copy.file.name) == is_last]
            tasks = self._copy_tasks(copies, leftovers=plan.leftovers, lease=lease)
            self._run(tasks, f"{self.verb}ing", [copy.file for copy in copies])
        deleted = [*plan.leftovers, *(plan.only_in_destination if self._config.delete else ())]
        if isinstance(self.destination, LocalFolder):
            deleted = _without_linked(deleted, self.destination)
        self._delete(deleted, lease=lease)

    def _copy_tasks(self, copies: Sequence[Copy], *, leftovers: Sequence[TreeFile], lease: Lease) -> Iterable[Task]:
        source, destination, transfers = self._source, self.destination, self._transfers
        if isinstance(source, LocalFolder):
            assert isinstance(destination, BucketFolder)
            parts = {file.name: file for file in leftovers}
            return Uploads(source, destination, parts, lease, transfers).tasks(copies)
        if isinstance(destination, LocalFolder):
            return Downloads(source, destination, lease, transfers).tasks(copies)

        def rewrite(copy: Copy) -> None:
            lease.check()
            transfers.add(0)
            destination.copy_from(source, copy)
            transfers.add(copy.file.size_bytes)

        return (task for copy in copies for task in file_tasks(copy.file.name, [partial(rewrite, copy)]))

    def _delete(self, files: Sequence[TreeFile], *, lease: Lease) -> None:
        def delete(file: TreeFile) -> None:
            lease.check()
            self.destination.delete(file)
            self._transfers.add(file.size_bytes)

        tasks = (task for file in files for task in file_tasks(file.name, [partial(delete, file)]))
        self._run(tasks, "deleting", files)

    def _run(self, tasks: Iterable[Task], description: str, files: Sequence[TreeFile]) -> None:
        """Runs tasks that concern some files, and shows their progress.

        Raises:
            RunFailedError: Some files could not be copied or deleted.
            RunAgainError: Some have changed while they were copied.
        """
        if not files:
            return
        total = _mib(sum(file.size_bytes for file in files))
        start_bytes = self._transfers.num_bytes
        with ProgressReporter(description, total=total, unit="MiB") as progress:

            def show(num_done: int) -> None:
                done = min(total, _mib(self._transfers.num_bytes - start_bytes))
                progress.update(completed=done, details=f"{num_done}/{counted(len(files), 'file')}")

            errors = run_tasks(tasks, transfers=self._transfers, num_workers=self._config.num_workers, on_tick=show)
            for error in errors[:_MAX_LOGGED]:
                progress.log(f"note: {error}")
        if not errors:
            return
        line = f"{counted(len(errors), 'file')} not copied or not deleted, such as {errors[0]}"
        if all(isinstance(error, ChangingError) for error in errors):
            raise RunAgainError(f"{line}: run the same command again")
        raise RunFailedError(f"{line}; what is copied is kept: the same command tries the others again")


def _without_linked(files: Sequence[TreeFile], folder: LocalFolder) -> list[TreeFile]:
    """Returns the files that no link leads to, and prints a note on the others."""
    linked = {file.name: file for file in files if folder.is_behind_link(file)}
    if linked:
        names = shown_names(list(linked))
        print(f"note: not deleted ({len(linked)}), because a link leads to them: {names}", file=stderr())
    return [file for file in files if file.name not in linked]


def _crc32c(folder: Folder, file: TreeFile) -> str:
    return crc32c_of(folder.path(file.name)) if isinstance(folder, LocalFolder) else file.crc32c


def print_plan(plan: Plan, *, delete: bool, verb: str, stream: TextIO) -> None:
    """Prints one line for each file that would be copied or deleted."""
    for copy in sorted(plan.copies, key=lambda copy: copy.file.name):
        action = verb if copy.replaced is None else f"{verb}, replace"
        print(f"{action}: {visible_name(copy.file.name)} ({copy.file.size_bytes:,} bytes)", file=stream)
    for file in plan.only_in_destination if delete else ():
        print(f"delete: {visible_name(file.name)} ({file.size_bytes:,} bytes)", file=stream)


def print_summary(plan: Plan, *, config: SyncConfig, verb: str, dry_run: bool, stream: TextIO) -> None:
    """Prints how many files were copied and deleted, or would be."""
    would = "would be " if dry_run else ""
    done = {"upload": "uploaded", "download": "downloaded", "copy": "copied"}[verb]
    num_extra = len(plan.only_in_destination)
    parts = [
        f"{counted(len(plan.copies), 'file')} {would}{done} ({plan.size_bytes / _MIB:.1f} MiB)",
        f"{plan.num_unchanged} unchanged",
    ]
    if config.delete:
        parts.append(f"{num_extra} {would}deleted")
    print(f"{', '.join(parts)}: {visible_name(config.destination)}", file=stream)
    if num_extra and not config.delete:
        has = "is" if num_extra == 1 else "are"
        print(f"{counted(num_extra, 'file')} {has} only in the destination: delete=true deletes them", file=stream)


def _check_space(plan: Plan, folder: LocalFolder) -> None:
    """Raises a UserError if the disk has too little space for the files."""
    sizes = [(copy.file.size_bytes, copy.replaced.size_bytes if copy.replaced else 0) for copy in plan.copies]
    # A file is complete before it replaces another one.
    needed_bytes = max(sum(new - old for new, old in sizes), max((new for new, _ in sizes), default=0))
    needed_bytes -= sum(folder.disk_bytes(file) for file in plan.leftovers)
    free_bytes = shutil.disk_usage(folder.uri).free
    if needed_bytes > free_bytes:
        raise UserError(
            f"destination={folder.uri}: {needed_bytes / 2**30:.1f} GiB are needed and {free_bytes / 2**30:.1f} GiB are "
            "free: free some space, or choose a folder on another disk"
        )


def _mib(size_bytes: int) -> int:
    return -(-size_bytes // _MIB)
