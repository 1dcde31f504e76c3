"""Settings of ``rlopt review``."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from .base import StageConfig, setting

LOOPBACK = ("127.0.0.1", "::1", "localhost")
MISLEADING = "misleading"  # the question of offline-eval --max-misleading
QuestionName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,29}$")]


class ReviewConfig(StageConfig):
    """``review``: people read titles. ``seed`` draws the titles that are rated and those that get two opinions."""

    section: ClassVar[str] = "review"

    host: str = setting(
        "127.0.0.1",
        "Address to listen on; any except loopback asks visitors for the token in RLOPT_REVIEW_TOKEN.",
        min_length=1,
    )
    port: int = setting(8400, "Port to listen on; 0 takes a free one.", ge=0, le=65535)
    lang: Literal["en", "zh"] = setting("en", "Language of the pages.")
    second_opinions: float = setting(
        0.1, "Share of the titles that two people decide independently, to see how well people agree.", ge=0, le=1
    )
    sample: int = setting(
        20, "Titles to read before a bulk accept; more bound the share of faults more tightly.", ge=1, le=200
    )
    questions: dict[QuestionName, str] = setting(
        {MISLEADING: "", "off_brand": "", "harmful": "", "unpleasant": ""},
        "Yes-or-no questions of the rating page, name: text (yes is a fault); an empty text is rlopt's own.",
        min_length=1,
    )
