"""Requests of the service, checked by pydantic. No text of a request is ever taken for a path."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from reward.logs.validate import MAX_TITLE_CHARACTERS
from reward.seeds import MAX_SEED

MAX_ID = 512
MAX_FIELDS = 256


def _filled(text: str) -> str:
    text = text.strip()
    if not text:
        raise ValueError("must not be blank")
    return text


def _number(value: Any) -> Any:
    if isinstance(value, (bool, str)):  # pydantic would take true for 1
        raise ValueError("must be a number")
    return value


_NOT_BLANK = {"pattern": r"[^\s\x1c-\x1f\x85]"}  # same as `str.strip`, for readers of the description
ItemId = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_ID),
    AfterValidator(_filled),
    Field(examples=["sku-1042"], json_schema_extra=_NOT_BLANK),
]
Title = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_TITLE_CHARACTERS),
    AfterValidator(_filled),
    Field(json_schema_extra=_NOT_BLANK),
]
_NUMBER = BeforeValidator(_number)
Plain = str | bool | int | Annotated[float, Field(allow_inf_nan=False)]
Fields = Annotated[
    dict[str, Plain | list[Plain] | None],
    Field(
        max_length=MAX_FIELDS,
        description="Fields of the item, by the logs' column names. For an item of the logs, missing fields are taken "
        "from the logs. Names that the logs do not have are left out, and the answer says so.",
        examples=[{"brand": "Acme", "color": ["red", "blue"], "price": 19.9}],
    ),
]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TitlesOfItem(_Request):
    """An item with titles to compare."""

    item_id: ItemId
    titles: Annotated[list[Title], Field(min_length=1, examples=[["Acme running shoe", "Running shoe by Acme, red"]])]
    fields: Fields = {}


class ScoreRequest(_Request):
    """Titles to score. `lift` compares those of one item within the request."""

    items: Annotated[list[TitlesOfItem], Field(min_length=1)]

    @property
    def size(self) -> int:
        """Titles."""
        return sum(len(item.titles) for item in self.items)


class ItemToTitle(_Request):
    """An item that needs a title."""

    item_id: ItemId
    fields: Fields = {}
    current_title: Title | None = Field(
        None, description="The title in use; of an item of the logs, by default the one that was shown most."
    )


class GenerateRequest(_Request):
    """Items to write titles for, with the rules of the run."""

    items: Annotated[list[ItemToTitle], Field(min_length=1)]
    n: Annotated[int, Field(ge=1, le=16), _NUMBER] = Field(1, description="Titles an item; from 2 on all are new ones.")
    best_of: Annotated[int, Field(ge=1, le=64), _NUMBER] | None = Field(
        None, description="Titles written an item, of which the best by reward are kept."
    )
    temperature: Annotated[float, Field(ge=0, le=10), _NUMBER] | None = Field(
        None, description="Sampling temperature; 0 takes the likeliest word each time."
    )
    keep_current: bool | None = Field(
        None, strict=True, description="Keep a current title that no new one beats (with one title an item)."
    )
    seed: Annotated[int, Field(ge=0, le=MAX_SEED), _NUMBER] | None = Field(
        None, description="Same request, same seed, same titles."
    )

    @property
    def size(self) -> int:
        """Titles."""
        return len(self.items) * self.n

    def settings(self) -> dict[str, Any]:
        """The settings of ``rlopt generate`` that the request names."""
        given = {"n": self.n, "best_of": self.best_of, "temperature": self.temperature}
        given |= {"keep_current": self.keep_current, "seed": self.seed}
        return {name: value for name, value in given.items() if value is not None}
