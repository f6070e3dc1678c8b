"""Steps in a process of their own, which may crash or hang."""

import asyncio
import json
import os
import re
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from typing import Any

from beam_pipelines.common.python_process import python_command

IMPORT, DECODE, GPU = "import", "decode", "gpu"

_MAX_MESSAGE_CHARACTERS = 300
_ERROR_LINE = re.compile(r"\w*(Error|Exception): ")


async def probe(
    kind: str,
    names: Sequence[str],
    *,
    timeout_s: float,
    needs: Mapping[str, Sequence[str]] | None = None,
    entry_point: str = "configs.doctor.child:run",
) -> dict[str, Mapping[str, Any]]:
    """Does steps one after the other in a child process, and the remaining ones in another one if it crashes.

    Args:
        kind: What is done with each name, one of the constants of this module.
        names: What it is done with.
        timeout_s: The most seconds that one process may take.
        needs: The names without which another one fails. After a crash it is not tried in vain.
        entry_point: The function that the child process calls.

    Returns:
        What the child says of each name. "error" in it is why the step failed, on one line.
    """
    results: dict[str, Mapping[str, Any]] = {}
    remaining = list(names)
    while remaining:
        lines, end = await _run(python_command(entry_point, kind, *remaining), timeout_s=timeout_s)
        results.update(zip(remaining, map(json.loads, lines), strict=False))
        if len(lines) < len(remaining):
            results[remaining[len(lines)]] = {"error": end}
        failed = {name for name, result in results.items() if "error" in result}
        for name in remaining[len(lines) + 1 :]:
            if failed.intersection((needs or {}).get(name, ())):
                results[name] = {"error": "not tried"}
        remaining = [name for name in remaining if name not in results]
    return results


def one_line(text: str) -> str:
    """Returns a message of any length as the beginning of one line."""
    line = " ".join(text.split())
    return line if len(line) <= _MAX_MESSAGE_CHARACTERS else f"{line[:_MAX_MESSAGE_CHARACTERS]}…"


def describe_error(error: BaseException) -> str:
    """Returns the type and the first line of an error of an import, on one line.

    The message of TensorFlow is a traceback, whose last line is the error.
    """
    lines = [line for line in str(error).splitlines() if line.strip()] or [""]
    if lines[0].startswith("Traceback"):
        return one_line(next((line for line in reversed(lines) if _ERROR_LINE.match(line)), lines[0]))
    return one_line(f"{type(error).__name__}: {lines[0]}")


async def _run(command: Sequence[str], *, timeout_s: float) -> tuple[list[bytes], str]:
    """Runs a child; returns the complete lines that it has printed, and how it has ended."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, start_new_session=True
    )
    lines: list[bytes] = []
    try:
        messages = await asyncio.wait_for(_read(process, lines), timeout_s)
        end = _end(await process.wait(), messages)
    except TimeoutError:
        end = f"it does not end within timeout_s={timeout_s:g}"
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)  # with the processes that it has started
            await process.wait()
    return [line for line in lines if line.endswith(b"\n")], end


async def _read(process: Process, lines: list[bytes]) -> bytes:
    """Appends to the lines of standard output while it is open; returns standard error."""
    assert process.stdout is not None
    assert process.stderr is not None
    messages = asyncio.create_task(process.stderr.read())
    async for line in process.stdout:
        lines.append(line)
    return await messages


def _end(returncode: int, messages: bytes) -> str:
    last = (messages.decode(errors="replace").strip().splitlines() or [""])[-1]
    if returncode < 0:
        try:
            name = signal.Signals(-returncode).name
        except ValueError:  # a real-time signal
            name = f"signal {-returncode}"
        how = f"the process ends with {name}"
    else:
        how = f"the process ends with exit code {returncode}"
    return one_line(f"{how}: {last}" if last else how)
