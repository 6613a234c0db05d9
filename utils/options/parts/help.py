"""Explain options on the command line, from the docstrings of their groups."""

import inspect
import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from pydantic.fields import FieldInfo

from utils.options.files import OptionGroup, groups_in

_WIDTH = 96
_ENTRY = re.compile(r"((?:`\w+`(?: \([^)]*\))?(?:, )?)+): (.*)", re.DOTALL)


def show_options(model: type[OptionGroup], groups: Mapping[str, Sequence[str]]) -> str:
    """The text that `--help` ends with: options by group, each with its default and meaning.

    Args:
        model: the options.
        groups: dotted keys by title. A group of options stands for all that is in it.
    """
    parts = ["options (--set KEY=VALUE, or keys of the option file):"]
    explained = dict(_explain(model))
    for title, keys in groups.items():
        chosen = (
            name for key in keys for name in explained if name == key or name.startswith(f"{key}.")
        )
        entries = (_entry(name, explained[name]) for name in chosen)
        parts.append("\n".join([f"  {title}:", *entries]))
    return "\n\n".join(parts)


def _entry(name: str, text: str) -> str:
    lines = textwrap.wrap(text, _WIDTH - 8, break_long_words=False, break_on_hyphens=False)
    wrapped = textwrap.indent("\n".join(lines), " " * 8)
    return f"    {name}\n{wrapped}" if text else f"    {name}"


def _explain(model: type[OptionGroup], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted name and explanation of every option that is a value, or a list of groups."""
    texts: dict[str, str] = {}
    for base in reversed(model.__mro__):
        texts |= _read_docstring(base) if issubclass(base, OptionGroup) else {}
    for name, field in model.model_fields.items():
        inner = [*dict.fromkeys(groups_in(field.annotation))]
        if not inner or not field.is_required():
            yield prefix + name, f"{texts.get(name, '')}{_default(field)}".strip()
        found = dict(item for group in inner for item in _explain(group, f"{prefix}{name}."))
        yield from found.items()


def _read_docstring(group: type[OptionGroup]) -> dict[str, str]:
    """What the docstring of a group says about its options, by name."""
    texts: dict[str, str] = {}
    for entry in re.split(r"\n(?=`)", inspect.cleandoc(group.__doc__ or "")):
        if match := _ENTRY.match(entry):
            said = " ".join(match[2].replace("`", "").split())
            texts |= dict.fromkeys(re.findall(r"`(\w+)`", match[1]), said)
    return texts


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    value = field.default
    return f" Default: {json.dumps(value if not isinstance(value, tuple) else [*value])}."
