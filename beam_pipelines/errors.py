"""The two ways in which a command ends badly on purpose."""


class UserError(Exception):
    """Something the user can mend: a wrong path, value or file. Shown as one line; the command exits with 2."""


class RunFailedError(Exception):
    """The command was right but the run cannot succeed. Shown as one line; the command exits with 1."""
