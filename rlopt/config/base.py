"""Base of every stage's settings: one place for default, meaning and range; frozen, no unknown keys, no NaN."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from reward.seeds import MAX_SEED


def setting(
    default: Any,
    what: str,
    *,
    none: str | None = None,
    metavar: str | None = None,
    flag: str | None = None,
    **limits: Any,
) -> Any:
    """A field of a `StageConfig`, from which its command line option is made too (`rlopt.cli.options.from_config`).

    Parameters
    ----------
    default
        Its value where none is given.
    what
        Meaning: a sentence for the help.
    none
        Meaning of None, where that is the default: "2e-3 for a tiny model".
    metavar
        Name of the option's value in the help.
    flag
        Names of a flag, where they are not ``--name/--no-name``.
    limits
        Pydantic's: ``ge``, ``gt``, ``le``, ``lt``, ``min_length``, ``pattern``.
    """
    return Field(
        default,
        description=what if none is None else f"{what.removesuffix('.')}; none: {none}.",
        json_schema_extra={"what": what, "none": none, "metavar": metavar, "flag": flag},
        **limits,
    )


class StageConfig(BaseModel):
    """Base: frozen, no unknown keys, no NaN; ``section`` is its key in a YAML preset."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)
    section: ClassVar[str]

    seed: int = setting(0, "Seed of everything random: the same seed gives the same result.", ge=0, le=MAX_SEED)

    @classmethod
    def sections(cls) -> tuple[str, ...]:
        """Its section of a preset, after those of the models it extends (``constraints`` goes before ``generate``)."""
        found = [vars(base)["section"] for base in cls.__mro__ if "section" in vars(base)]
        return tuple(reversed(dict.fromkeys(found)))

    def files(self) -> list[str]:
        """Files that the settings name; what these hold counts like the settings themselves."""
        return []
