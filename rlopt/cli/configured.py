"""Options made of settings: a field of `rlopt.config` gives an option's type, choices, default and help."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import click

from rlopt.cli.options import Command

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from rlopt.config import StageConfig


@dataclass(frozen=True)
class _Setting:
    """An option to be made of a field once it is asked for: the models take a tenth of a second to load."""

    model: str
    name: str

    def config(self) -> "type[StageConfig]":
        import rlopt.config

        found: type[StageConfig] = getattr(rlopt.config, self.model)
        return found


@dataclass(frozen=True)
class _Preset:
    """``--config``, to be made once the sections that the command reads are known."""

    also: tuple[str, ...]


def from_config(model: str, *names: str) -> Callable[[Command], Command]:
    """Options made of the fields ``names`` of a model of `rlopt.config`, for a command of `Configured`."""
    return _with(*(_Setting(model, name) for name in names))


def preset(*also: str) -> Callable[[Command], Command]:
    """``--config`` and ``--seed``; ``also`` are sections of the preset that the command reads beside its options'."""
    return _with(_Preset(also), _Setting("StageConfig", "seed"))


def _with(*given: _Setting | _Preset) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        command.__dict__.setdefault("__click_params__", []).extend(reversed(given))  # as click keeps its own
        return command

    return decorate


class Configured(click.Command):
    """A command with options of `from_config` and `preset`, in the order of the decorators.

    They are made when a command is parsed or its help is shown, so that the list of commands is instant.
    """

    _given: list[Any]
    _made: list[click.Parameter] | None

    @property
    def params(self) -> list[click.Parameter]:
        """All parameters."""
        if self._made is None:
            self._made = [self._option(given) for given in self._given]
        return self._made

    @params.setter
    def params(self, given: list[Any]) -> None:
        self._given, self._made = given, None

    @property
    def reads(self) -> tuple[str, ...]:
        """Sections of a preset that this command reads: those of its options' models, and what else it names."""
        models = [given.config() for given in self._given if isinstance(given, _Setting)]
        own = [section for model in models if "section" in vars(model) for section in model.sections()]
        also = [section for given in self._given if isinstance(given, _Preset) for section in given.also]
        return tuple(dict.fromkeys([*own, *also]))

    def _option(self, given: Any) -> click.Parameter:
        if isinstance(given, _Setting):
            return option_of(given.name, given.config().model_fields[given.name])
        if isinstance(given, _Preset):
            return click.Option(
                ["--config"],
                metavar="PRESET",
                type=click.Path(path_type=Path),
                help=f"YAML file, or a preset of rlopt by name (sections: {', '.join(self.reads)}); flags override it.",
            )
        parameter: click.Parameter = given
        return parameter


def option_of(name: str, field: "FieldInfo") -> click.Option:
    """The option of one setting; ranges are the model's to check, which says in one line what is wrong.

    Not given, it is None, so that a preset's value stands.
    """
    told: dict[str, str | None] = dict(field.json_schema_extra or {})  # type: ignore[arg-type]  # `setting` filled it
    kind, several = _kind(field.annotation)
    flag = "--" + name.replace("_", "-")
    if kind is bool:
        flag = told["flag"] or f"{flag}/--no-{flag[2:]}"
    text = f"{told['what']}{' Repeatable.' if several else ''}{_default(field.default, told['none'], flag)}"
    if kind is bool:
        return click.Option([flag], is_flag=True, default=None, help=text)
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    return click.Option(
        [flag],
        type=click.Choice(choices) if choices else kind,
        multiple=several,
        metavar=None if choices else told["metavar"],
        help=text,
    )


def _kind(annotation: Any) -> tuple[Any, bool]:
    """A field's type without None and ranges, and whether it takes several."""
    parts = [part for part in get_args(annotation) if part is not type(None)]
    if get_origin(annotation) in (Union, UnionType):
        return _kind(parts[0])
    if get_origin(annotation) is tuple:
        return _kind(parts[0])[0], True
    return (parts[0] if get_origin(annotation) is Annotated else annotation), False


def _default(value: Any, none: str | None, flag: str) -> str:
    if isinstance(value, bool):
        on, _, off = flag.partition("/")
        told = on if value else off
    elif isinstance(value, tuple):
        told = ", ".join(map(str, value))
    else:
        told = (none or "") if value is None else str(value)
    return f"  [default: {told}]" if told else ""
