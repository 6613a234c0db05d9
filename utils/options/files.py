"""Read option files, apply `--set` overrides, and report each problem in one line."""

import difflib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import json5
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError, to_jsonable_python

from data.files.folders import plain_name
from data.files.reading import read_regular
from utils.errors import InputError, one_line
from utils.options.bundled import with_bundled_paths
from utils.options.parts.texts import (
    odd_values,
    swallowed_backslashes,
    texts_with_control_characters,
    with_home,
)
from utils.options.released import explain_released

_LARGEST_FILE = 100_000  # bytes; json5 takes half a millisecond per value
_DEEPEST = 20  # groups in groups
_LONGEST_SHOWN = 300  # characters of a value in a message

DeviceName = Literal["auto", "cpu", "cuda", "mps"]

FolderName = Annotated[str, AfterValidator(plain_name)]


class OptionGroup(BaseModel):
    """Base class of option groups: frozen; rejects unknown keys, wrong types, NaN and infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def changed(options: OptionGroup, key: str) -> bool:
    """Whether a group has the option `key`, and its value differs from the default."""
    fields = type(options).model_fields
    return key in fields and bool(getattr(options, key) != fields[key].default)


OptionsType = TypeVar("OptionsType", bound=OptionGroup)


def load_options(
    path: str | Path, overrides: Sequence[str], model: type[OptionsType]
) -> OptionsType:
    """Read options from JSON with `//` comments.

    Args:
        path: the option file.
        overrides: "key.path=value" each; the value is JSON if it parses as JSON, else a string.
        model: what the options must look like.

    Raises:
        InputError: the file cannot be read, or a key or value is wrong: one line per problem.
    """
    file = Path(path)
    options = with_bundled_paths(_read_json(file), file)
    overridden = [_apply_override(options, text) for text in overrides]
    for key, problem in odd_values(options):
        raise InputError(f"{_find_source(key, overridden, file)}: '{key}': {problem}")
    options = with_home(options)
    try:
        valid = model.model_validate_json(json.dumps(options))
    except ValidationError as error:
        problems = _group_by_key(error.errors(include_url=False), options)
        unknown = [key for key, own in problems.items() if own[0]["type"] == "extra_forbidden"]
        if explanation := explain_released(file.name, unknown):
            raise InputError(explanation) from None
        described = (_format_problem(found, model, key) for key, found in problems.items())
        lines = [f"{_find_source(key, overridden, file)}: {message}" for key, message in described]
        raise InputError(*lines) from None
    for key, problem in texts_with_control_characters(options):
        raise InputError(f"{_find_source(key, overridden, file)}: '{key}': {problem}")
    return valid


def one_of(*tables: Collection[str]) -> AfterValidator:
    """A validator that accepts the names in tables, including those added later."""

    def check(name: str) -> str:
        if not any(name in table for table in tables):
            expected = " or ".join(f"'{known}'" for table in tables for known in table)
            raise PydanticCustomError(
                "unknown_name", "Input should be {names}", {"names": expected}
            )
        return name

    return AfterValidator(check)


def changed_options(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """A line "key: old -> new" for every option that differs."""
    old, new = dict(_flat(before)), dict(_flat(now))
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            yield f"{key}: {old.get(key)!r} -> {new.get(key)!r}"


def with_defaults(recorded: Mapping[str, Any], model: type[OptionGroup]) -> dict[str, Any]:
    """Recorded options, completed by the defaults of options that did not exist then."""
    completed = dict(recorded)
    for name, field in model.model_fields.items():
        if name not in recorded and not field.is_required():
            default = field.get_default(call_default_factory=True)
            completed[name] = to_jsonable_python(default)
        elif isinstance(recorded.get(name), Mapping):
            for group in groups_in(field.annotation):
                completed[name] = with_defaults(recorded[name], group)
    return completed


def _flat(options: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _read_json(file: Path) -> dict[str, Any]:
    moved = file.parent / "recipes" / file.name
    if not file.exists() and moved.exists():
        raise InputError(f"{file}: no such option file; it moved to {moved}")
    try:
        data = read_regular(file)
        if len(data) > _LARGEST_FILE:
            raise InputError(
                f"{file}: expected an option file of at most {_LARGEST_FILE} bytes, got {len(data)}"
            )
        text = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"{file}: cannot read the option file: {reason}") from error
    for line, written in swallowed_backslashes(text):
        raise InputError(
            f"{file.name}, line {line}: {written}: a single backslash is not kept; write paths "
            'with "/", or each backslash twice'
        )
    try:
        options = json5.loads(text, allow_duplicate_keys=False)
    except RecursionError:
        raise InputError(f"{file.name}: not valid JSON: nested too deep") from None
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{file.name}: not valid JSON: {reason}") from error
    if not isinstance(options, dict):
        raise InputError(f"{file.name}: expected a group {{...}} of options, got {_shown(options)}")
    return options


def _apply_override(options: dict[str, Any], text: str) -> str:
    """Apply "key.path=value" to nested `options` in place and return the key."""
    key, separator, value = text.partition("=")
    names = key.split(".")
    if not separator or not all(names) or len(names) > _DEEPEST:
        raise InputError(f"--set {one_line(text, _LONGEST_SHOWN)}: expected key.path=value")
    group = options
    for depth, name in enumerate(names[:-1], start=1):
        if group.get(name) is None:
            group[name] = {}
        group = group[name]
        if not isinstance(group, dict):
            outer = ".".join(names[:depth])
            shown = one_line(text, _LONGEST_SHOWN)
            raise InputError(f"--set {shown}: '{outer}' is a value, not a group of keys")
    group[names[-1]] = _parse_value(value)
    return key


def _shown(value: object) -> str:
    return one_line(json.dumps(value), _LONGEST_SHOWN)


def _parse_value(text: str) -> Any:  # noqa: ANN401
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _find_source(key: str, overridden: Sequence[str], file: Path) -> str:
    """The source of the value of `key` or of a part of it: "--set" or the file's name."""
    group = f"{key}."
    given = any(group.startswith(f"{name}.") or name.startswith(group) for name in overridden)
    return "--set" if given else file.name


def _group_by_key(
    problems: Sequence[ErrorDetails], options: Mapping[str, Any]
) -> dict[str, list[ErrorDetails]]:
    """Group the problems that pydantic found by key.

    A value of a union type has a problem for each type; their locations hold the type's name, which
    is dropped here.
    """
    found: dict[str, list[ErrorDetails]] = {}
    for problem in problems:
        place: list[str] = []
        value: Any = options
        for depth, part in enumerate(problem["loc"], start=1):
            if isinstance(value, Mapping):
                is_missing = problem["type"] == "missing" and depth == len(problem["loc"])
                if part not in value and not is_missing:
                    continue
                value = value.get(str(part))
            elif isinstance(value, list) and isinstance(part, int):
                value = value[part] if part < len(value) else None
            else:
                continue
            place.append(str(part))
        found.setdefault(".".join(place), []).append(problem)
    # A list with wrong items is also reported as too short: pydantic counts valid items only.
    return {
        key: own
        for key, own in found.items()
        if own[0]["type"] != "too_short" or not any(name.startswith(f"{key}.") for name in found)
    }


def _format_problem(
    problems: Sequence[ErrorDetails], model: type[OptionGroup], key: str
) -> tuple[str, str]:
    """(key, one-line message) for the problems of a value."""
    # The message of a validator of ours is complete.
    own = [problem for problem in problems if problem["type"] == "value_error"]
    first = (own or problems)[0]
    kind, got = first["type"], _shown(first["input"])
    if kind == "extra_forbidden":
        return key, f"unknown key '{key}'; {_suggest(key, model)}"
    if kind == "missing":
        group, _, name = key.rpartition(".")
        if name.isdecimal():
            return group, f"'{group}' has too few values, got {got}"
        return key, f"missing key '{key}'"
    if kind in ("model_type", "model_attributes_type"):
        return key, f"'{key}' must be a group {{...}} of keys, got {got}"
    if own:
        # Validators of a group start their message with a key within that group.
        message = first["msg"].removeprefix("Value error, ")
        inner, separator, rest = message.partition(": ")
        if separator and isinstance(first["input"], Mapping):
            key = f"{key}.{inner}" if key else inner
            return key, f"'{key}': {rest}"
        return key, f"'{key}': {message}"
    wanted = [problem["msg"].removeprefix("Input should be ") for problem in problems]
    if wanted[0] == first["msg"]:
        return key, f"'{key}': {first['msg']}, got {got}"
    return key, f"'{key}' must be {' or '.join(wanted)}, got {got}"


def _suggest(key: str, model: type[OptionGroup]) -> str:
    """The nearest known key, or the known keys of the same group."""
    # Keys of the groups in a list are known without their place in it.
    plain = ".".join(part for part in key.split(".") if not part.isdecimal())
    known = [name for name in _keys(model) if not plain.startswith(f"{name}.")]
    group, nearest = plain.rpartition(".")[0], difflib.get_close_matches(plain, known, n=1)
    siblings = [name for name in known if name.rpartition(".")[0] == group]
    if plain != key:
        names = {name: f"{key.rpartition('.')[0]}.{name.rpartition('.')[2]}" for name in siblings}
        nearest = [names.get(name, name) for name in nearest]
        siblings = [*names.values()]
    if nearest:
        return f"did you mean '{nearest[0]}'?"
    return f"known keys: {', '.join(siblings)}"


def _keys(model: type[OptionGroup], prefix: str = "") -> Iterator[str]:
    """Dotted names of all options, groups included."""
    for name, field in model.model_fields.items():
        yield prefix + name
        for group in groups_in(field.annotation):
            yield from _keys(group, f"{prefix}{name}.")


def groups_in(annotation: object) -> Iterator[type[OptionGroup]]:
    """The option groups in a field's type: itself, or the members of a union or list."""
    if get_origin(annotation) is None:
        if isinstance(annotation, type) and issubclass(annotation, OptionGroup):
            yield annotation
        return
    for member in get_args(annotation):
        yield from groups_in(member)
