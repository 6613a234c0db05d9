"""The one exception for bad input, and how running out of memory is recognised."""

import re
from unicodedata import category

_LONGEST_LINE = 2000  # characters
_LACKED = (  # operation and device in PyTorch's messages
    r"operator '([\w:.]+)' is not currently implemented for the (\w+) device",
    r"Could not run '([\w:.]+)' with arguments from the '(\w+)' backend",
)


class InputError(Exception):
    """Something the user gave cannot be used.

    The message is one line: what, where, expected, got, cure; several problems are a line each.
    Scripts print it and exit with status 1 (`utils.options.command_line.run`); any other exception
    is a defect and keeps its traceback.
    """

    def __init__(self, *lines: str) -> None:
        """Keep each line one line, whatever names and values it quotes (`one_line`)."""
        super().__init__("\n".join(one_line(line) for line in lines))

    def __reduce__(self) -> tuple[type["InputError"], tuple[str, ...]]:
        """Keep lines apart on the way from a worker process."""
        return type(self), tuple(str(self).split("\n"))


def one_line(text: str, longest: int = _LONGEST_LINE) -> str:
    """A user's text as it may stand in a message.

    Control characters, line ends and surrogates are escaped; beyond `longest` characters the middle
    is left out.
    """
    if len(text) > longest:
        ahead, after = longest * 2 // 3, longest // 4
        left_out = f"[... {len(text) - ahead - after} characters ...]"
        text = f"{text[:ahead]}{left_out}{text[-after:]}"
    if text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable() or category(character) == "Zs"  # wide spaces
        else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in text
    )


def says_memory_ran_out(error: BaseException) -> bool:
    """Whether an error is about memory that could not be had: Python's, PyTorch's or a GPU's."""
    told = any(words in str(error) for words in ("can't allocate memory", "out of memory"))
    return told or isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def explain_lacked_operation(error: BaseException) -> str | None:
    """One line if a device lacks an operation of PyTorch; None for other errors."""
    found = next(filter(None, (re.search(words, str(error)) for words in _LACKED)), None)
    if found is None or not isinstance(error, NotImplementedError):
        return None
    return f"the device {found[2]} lacks PyTorch's operation {found[1]}; set device to 'cpu'"
