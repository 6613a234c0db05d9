"""The one exception for bad input, whoever notices it."""


class InputError(Exception):
    """Something the user gave cannot be used.

    The message is one line: what, where, expected, got, cure. Scripts print it and exit with
    status 1 (`utils.options.command_line.run`); any other exception is a defect and keeps its
    traceback.
    """
