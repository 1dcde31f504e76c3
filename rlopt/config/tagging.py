"""Settings of the extractive tagger: ``tag fit`` and ``tag apply``."""

from typing import ClassVar, Literal

from .base import StageConfig, setting


class TagConfig(StageConfig):
    """``tag fit``: the tagger of the words of a title."""

    section: ClassVar[str] = "tag"

    title: str = setting("title", "Column of the long titles.", metavar="COLUMN", min_length=1)
    labels: Literal["auto", "entities", "pairs"] = setting(
        "auto", "Learn from tagged entities, or from pairs of long and short titles; auto: whichever the file has."
    )
    entities: str = setting(
        "entities", "Column of the tagged entities, [[kind, text], ...].", metavar="COLUMN", min_length=1
    )
    short: str = setting("short_title", "Column of the short titles that people wrote.", metavar="COLUMN", min_length=1)
    kinds: dict[str, str] = setting({}, "New name of a kind of entity, so that kinds are joined; '' leaves one out.")
    required: str | None = setting(
        None,
        "Kind of entity that a short title must keep, such as product.",
        none="the one that most titles have",
        metavar="KIND",
    )
    model: str | None = setting(
        None,
        "Pretrained encoder to start from: a folder or hub id.",
        none="a tiny one trained from scratch",
        metavar="ID_OR_PATH",
    )
    held_out: float = setting(0.1, "Share of the titles the tagger is measured on.", gt=0, lt=1)
    pretraining_epochs: float = setting(
        5.0, "Passes in which the tiny model learns words by guessing masked ones; 0: none.", ge=0
    )
    epochs: float = setting(8.0, "Passes over the labelled titles.", gt=0)
    batch_size: int = setting(32, "Titles per step; less memory with fewer.", ge=1)
    learning_rate: float | None = setting(
        None, "Peak learning rate.", none="1e-3 for the tiny encoder, 5e-5 for a pretrained one", gt=0
    )
    save_every: int = setting(200, "Steps between checkpoints.", ge=1)
    max_chars: int = setting(15, "Length at which shortening the held-out titles is measured.", ge=1)


class ShortenConfig(StageConfig):
    """``tag apply``: how short, and how many titles at once."""

    section: ClassVar[str] = "shorten"

    title: str = setting("title", "Column of the titles.", metavar="COLUMN", min_length=1)
    item_id: str | None = setting(
        None,
        "Column with the id of each row, which the output keeps.",
        none="item_id, if the file has it",
        metavar="COLUMN",
        min_length=1,
    )
    max_chars: int | None = setting(None, "Longest short title in characters.", none="15 if no length is given", ge=1)
    max_width: int | None = setting(
        None, "Longest short title in display columns; a Chinese character takes two.", ge=1
    )
    batch_size: int = setting(64, "Titles that go through the model at once; less memory with fewer.", ge=1)
    shard_titles: int = setting(5000, "Titles in a shard, the most that an interruption loses.", ge=1)
