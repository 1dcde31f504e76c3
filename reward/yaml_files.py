"""YAML that a user hands over: read once, with limits on size, depth and aliases, and no key given twice."""

from pathlib import Path
from typing import Any

import yaml

MAX_BYTES = 5_000_000
MAX_DEPTH = 20
_FAST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, where PyYAML was built with it


def read_yaml(path: Path, what: str, error: type[Exception]) -> Any:
    """Read a YAML file; None where it is empty.

    Parameters
    ----------
    path
        The file, UTF-8 with or without a byte order mark.
    what
        Kind of file, for messages: "facts file".
    error
        Error to raise, with one line as its text, where the file is missing, larger than `MAX_BYTES`, no YAML, nested
        more than `MAX_DEPTH` deep, gives a key twice, or holds an alias: a few of these stand for more than any
        memory holds.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise error(f"The {what} {path} has {size:,} bytes, at most {MAX_BYTES:,} are read. Split or shorten it.")
        text = path.read_text(encoding="utf-8-sig")
        _check_events(text)
        return yaml.load(text, Loader=_Loader)  # noqa: S506  # a safe one
    except OSError as cause:
        raise error(f"Cannot read the {what} {path}: {cause.strerror or cause}.") from cause
    except (UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as cause:
        if isinstance(cause, error):
            raise
        raise error(f"The {what} {path} cannot be read: {_reason(cause)}.") from cause


class _Loader(_FAST):  # type: ignore[misc]
    """A safe loader that refuses a key given twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise _refusal(f"the key {str(key.value)!r:.40} a second time", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def _check_events(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_FAST):
        if isinstance(event, yaml.AliasEvent):
            raise _refusal("an alias (*name), which is not read here,", event.start_mark)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _refusal(f"lists and mappings nested more than {MAX_DEPTH} deep", event.start_mark)


def _refusal(what: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=what, problem_mark=mark)


def _reason(error: Exception) -> str:
    problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
    said = str(problem) if problem else (str(error).strip().split("\n", 1)[0] or type(error).__name__)
    return f"{said} in line {mark.line + 1}" if mark is not None else said.rstrip(".")
