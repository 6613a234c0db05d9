"""The one exception for bad input, and how running out of memory is recognised."""


class InputError(Exception):
    """Something the user gave cannot be used.

    The message is one line: what, where, expected, got, cure. Scripts print it and exit with
    status 1 (`utils.options.command_line.run`); any other exception is a defect and keeps its
    traceback.
    """


def says_memory_ran_out(error: BaseException) -> bool:
    """Whether an error is about memory that could not be had: Python's, PyTorch's or a GPU's."""
    told = any(words in str(error) for words in ("can't allocate memory", "out of memory"))
    return told or isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
