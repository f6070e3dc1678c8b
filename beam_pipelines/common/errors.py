"""The ways in which a command ends badly on purpose."""


class UserError(Exception):
    """Something the user can mend: a wrong path, value or file. Shown as one line; the command exits with 2."""


class RunFailedError(Exception):
    """The command was right but the run cannot succeed. Shown as one line; the command exits with 1."""


class RunAgainError(Exception):
    """The run was broken off from outside, and the same command goes on with it. The command exits with 75.

    75 is EX_TEMPFAIL of sysexits.h, "try again": what starts runs can tell it from a run that cannot succeed.
    """
