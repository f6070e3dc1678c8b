"""Errors that end a command with one line for the user and an exit code of their own."""

# How TensorFlow's message about a failed operation of a graph begins, before the lines of Python that made it.
_GRAPH_ERROR = "Graph execution error:"
# The same for a function that TensorFlow could not trace. All lines after this one are indented by four spaces or more.
_TRACE_ERROR = "in user code:"


class UserError(Exception):
    """Something the user can fix: a wrong path, value or file. Shown as one line; the command exits with 2."""


class RunFailedError(Exception):
    """The command was right but the run cannot succeed. Shown as one line; the command exits with 1."""


class RunAgainError(Exception):
    """The run was interrupted, and the same command resumes it. The command exits with 75.

    75 is EX_TEMPFAIL of sysexits.h, "try again": a supervisor can distinguish it from a run that cannot succeed.
    """


class InterruptedRunError(RunAgainError):
    """A RunAgainError because of Ctrl-C. The command exits with 130, as shells report it."""


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message that names the cause, or the error's type if there is no message."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    if lines[:1] == [_GRAPH_ERROR]:
        # "Detected at node … defined at (most recent call last):" and indented lines of Python come before the cause.
        causes = [line for line in lines[1:] if not line.startswith((" ", "\t", "Detected at node "))]
        lines = causes or lines
    if lines[:1] == [_TRACE_ERROR]:
        # Two lines for each function come before the cause: '    File "x.py", line 1, in f' and its source.
        causes = [line[4:] for line in lines[1:] if not line.startswith((" " * 5, '    File "'))]
        lines = [line.removeprefix(f"{type(error).__name__}: ") for line in causes] or lines[-1:]
    return lines[0].strip() if lines else type(error).__name__
