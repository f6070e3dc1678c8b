"""Programs of clusters, such as kubectl, that record how they are called and answer from a file."""

import json
import sys
from pathlib import Path
from typing import Any

_PROGRAM = """\
#!{python}
import json, sys
from pathlib import Path
folder = Path({folder!r})
words, text = sys.argv[1:], sys.stdin.read()
with open(folder / "calls.jsonl", "a") as file:
    file.write(json.dumps([{name!r}, words, text]) + "\\n")
answers = json.loads((folder / {name!r}).with_suffix(".json").read_text())
answer = answers.get(words[0] if words else "", answers.get("", ["", "", 0]))
sys.stdout.write(answer[0])
sys.stderr.write(answer[1])
sys.exit(answer[2])
"""


class FakePrograms:
    """A folder for PATH.

    Attributes:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder

    def install(self, name: str, answers: dict[str, tuple[str, str, int]]) -> None:
        """Adds a program, or changes its answers: by its first word, or by "", (standard output, error, exit code)."""
        (self.folder / f"{name}.json").write_text(json.dumps(answers))
        program = self.folder / name
        program.write_text(_PROGRAM.format(python=sys.executable, folder=str(self.folder), name=name))
        program.chmod(0o755)

    def calls(self) -> list[tuple[str, list[str], str]]:
        """Returns the calls so far: the program, its arguments, and what it read."""
        path = self.folder / "calls.jsonl"
        lines: list[Any] = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [(name, words, text) for name, words, text in lines]
