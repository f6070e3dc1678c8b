"""Errors that end a command with one line for the user and an exit code of their own."""


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
