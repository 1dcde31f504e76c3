"""Settings of the extractive tagger: ``tag fit`` and ``tag apply``."""

from typing import ClassVar, Literal

from pydantic import Field

from .base import StageConfig


class TagConfig(StageConfig):
    """``tag fit``: the tagger that says which words of a title are what."""

    section: ClassVar[str] = "tag"

    title: str = Field("title", min_length=1, description="Column of the long titles.")
    labels: Literal["auto", "entities", "pairs"] = Field(
        "auto", description="Learn from tagged entities or from short titles; auto: what the file has."
    )
    entities: str = Field("entities", min_length=1, description="Column of the tagged entities, [[kind, text], ...].")
    short: str = Field("short_title", min_length=1, description="Column of the short titles people wrote.")
    kinds: dict[str, str] = Field(
        {}, description="New name of a kind of entity, so that kinds are joined; '' leaves one out."
    )
    required: str | None = Field(
        None, description="Kind of entity that a short title must keep; none: the one most titles have."
    )
    model: str | None = Field(None, description="Encoder by path or hub id; none: a tiny one from scratch.")
    held_out: float = Field(0.1, gt=0, lt=1, description="Share of the titles the tagger is measured on.")
    pretraining_epochs: float = Field(
        5.0, ge=0, description="Passes in which the tiny model learns words by guessing masked ones; 0: none."
    )
    epochs: float = Field(8.0, gt=0, description="Passes over the labelled titles.")
    batch_size: int = Field(32, ge=1, description="Titles a step.")
    learning_rate: float | None = Field(
        None, gt=0, description="Peak learning rate; none: 1e-3 for the tiny encoder, 5e-5 for a pretrained one."
    )
    save_every: int = Field(200, ge=1, description="Steps between checkpoints.")
    max_chars: int = Field(15, ge=1, description="Length at which shortening the held-out titles is measured.")


class ShortenConfig(StageConfig):
    """``tag apply``: how short, and how many titles at once."""

    section: ClassVar[str] = "shorten"

    title: str = Field("title", min_length=1, description="Column of the titles.")
    item_id: str | None = Field(
        None, min_length=1, description="Column that names the rows; none: item_id, where there is one."
    )
    max_chars: int | None = Field(None, ge=1, description="Longest short title in characters.")
    max_width: int | None = Field(None, ge=1, description="Longest short title in columns (Chinese counts two).")
    batch_size: int = Field(64, ge=1, description="Titles that go through the model at once.")
    shard_titles: int = Field(5000, ge=1, description="Titles a shard: what an interruption may cost.")
