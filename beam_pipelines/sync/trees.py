"""The files of a tree, local or in a bucket, and what has to be copied and deleted so that two trees are equal."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

# Marks a finished data set.
_MARKER = "_SUCCESS"


@dataclass(frozen=True)
class TreeFile:
    """A file of a tree.

    Attributes:
        name: Its path below the tree's folder, with "/" between folders.
        size_bytes: Its size.
        crc32c: The checksum, as Google Cloud Storage writes it: base64 of four big-endian bytes. "" for a local file,
            whose checksum is computed where it is needed.
        generation: The generation of an object; 0 for a local file.
        modified_ns: When a local file was last written; 0 for an object.
    """

    name: str
    size_bytes: int
    crc32c: str = ""
    generation: int = 0
    modified_ns: int = 0


@dataclass(frozen=True)
class Tree:
    """What lies in a folder and below it.

    Attributes:
        files: The files that are copied, by name.
        left_out: Names of files and folders that are not copied, by the reason.
        leftovers: What interrupted runs of this command have left: parts of objects, and partial files.
        unread: Folders and links that could not be read, so that what lies in them is unknown.
    """

    files: Mapping[str, TreeFile]
    left_out: Mapping[str, Sequence[str]]
    leftovers: Sequence[TreeFile] = ()
    unread: Sequence[str] = ()


@dataclass(frozen=True)
class Copy:
    """A file to copy.

    Attributes:
        file: The file in the source.
        replaced: The file of that name in the destination; None if there is none.
    """

    file: TreeFile
    replaced: TreeFile | None

    @property
    def generation(self) -> int:
        """The generation of the object that is replaced; 0 if there is none."""
        return 0 if self.replaced is None else self.replaced.generation


@dataclass(frozen=True)
class Plan:
    """What has to be done.

    Attributes:
        copies: The files to copy, the largest first.
        num_unchanged: The number of files that are equal in both trees, and are kept.
        only_in_destination: The files that the source does not have.
        outdated_markers: Files of the destination that mark others as complete, some of which are copied. They are
            deleted before that, and copied after it.
        leftovers: What interrupted runs have left in the destination. It is deleted after the copies.
    """

    copies: Sequence[Copy]
    num_unchanged: int
    only_in_destination: Sequence[TreeFile]
    outdated_markers: Sequence[TreeFile] = ()
    leftovers: Sequence[TreeFile] = ()

    @property
    def size_bytes(self) -> int:
        return sum(copy.file.size_bytes for copy in self.copies)


def is_marker(name: str) -> bool:
    """Returns whether a file marks those of its folder as complete, so that it must not be there before they are."""
    return name.rpartition("/")[2] == _MARKER


def find_equal_sizes(source: Tree, destination: Tree) -> list[tuple[TreeFile, TreeFile]]:
    """Returns the files of both trees that have one name and one size: only their checksums can tell them apart."""
    pairs = [(file, destination.files.get(name)) for name, file in source.files.items()]
    return [(file, other) for file, other in pairs if other is not None and other.size_bytes == file.size_bytes]


def make_plan(source: Tree, destination: Tree, *, equal: Set[str]) -> Plan:
    """Returns what makes the destination equal to the source.

    Args:
        source: The tree that is copied.
        destination: The tree that shall be equal to it.
        equal: The names of the files that have one size and one checksum in both.
    """
    changed = [name for name in source.files if name not in equal and not is_marker(name)]
    outdated = {
        name: file
        for name, file in destination.files.items()
        if is_marker(name) and name in source.files and _have_one_below(changed, name.rpartition("/")[0])
    }
    copies = [
        Copy(file, None if name in outdated else destination.files.get(name))
        for name, file in source.files.items()
        if name not in equal or name in outdated
    ]
    # A name that is left out in the source is no name that the source lacks.
    known = {*source.files, *(name for names in source.left_out.values() for name in names)}
    return Plan(
        copies=sorted(copies, key=lambda copy: (-copy.file.size_bytes, copy.file.name)),
        num_unchanged=len(source.files) - len(copies),
        only_in_destination=[file for name, file in sorted(destination.files.items()) if name not in known],
        outdated_markers=list(outdated.values()),
        leftovers=destination.leftovers,
    )


def _have_one_below(names: Sequence[str], folder: str) -> bool:
    return any(name.startswith(f"{folder}/") or not folder for name in names)


def without_folder_names(tree: Tree) -> Tree:
    """Returns a tree without files whose name is also that of a folder, which a bucket can have and a disk cannot."""
    folders = {name[:index] for name in tree.files for index, letter in enumerate(name) if letter == "/"}
    both = sorted(folders & tree.files.keys())
    if not both:
        return tree
    return replace(
        tree,
        files={name: file for name, file in tree.files.items() if name not in folders},
        left_out={**tree.left_out, "objects that have the name of a folder": both},
    )
