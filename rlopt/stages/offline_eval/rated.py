"""Ratings of the candidate's titles by people in ``rlopt review``."""

import hashlib
import json

import pyarrow.parquet as pq

from rlopt.config import EvalConfig
from rlopt.errors import EvaluationError
from rlopt.files import fingerprint
from rlopt.ope.rated_shares import RatedShare, rated_shares
from rlopt.reviewing.database import opened, shown
from rlopt.stages.common.title_source import TitleSource


def rated_by_people(place: str | None, source: TitleSource, config: EvalConfig) -> tuple[RatedShare, ...]:
    """Shares of the titles that people found faulty, of the titles of this candidate alone.

    Raises
    ------
    ReviewError
        If the reviews cannot be read.
    EvaluationError
        If a limit is asked for without them, or they say nothing of this candidate.
    """
    if place is None:
        if config.max_misleading is not None:
            raise EvaluationError("--max-misleading needs people's ratings: name the reviews with --reviews DB.")
        return ()
    with opened(place) as engine:
        from rlopt.reviewing.ratings import rated, sources

        with engine.connect() as connection:
            found = rated(connection, writer_of(source))
            others = sources(connection)
    if not found:
        why = "people have rated no title yet" if not others else "people have rated titles of another policy there"
        raise EvaluationError(
            f"The reviews in {shown(place)} hold no ratings of {source.name}: {why}. Write its titles (rlopt "
            "generate), have a sample of them rated on the page Rate (rlopt review), or leave --reviews out."
        )
    return rated_shares(found, config.confidence)


def writer_of(source: TitleSource) -> str:
    """Fingerprint of the policy whose titles are evaluated; of a file of ``generate`` that which it names."""
    if not source.path.is_file():
        return fingerprint(source.path)
    if source.path.suffix.lower() != ".parquet":
        return ""
    named: dict[bytes, bytes] = pq.read_schema(source.path).metadata or {}
    return named.get(b"rlopt.policy_fingerprint", b"").decode()


def digest(shares: tuple[RatedShare, ...]) -> dict[str, str]:
    """Fingerprint of the ratings an evaluation uses, by the name "rated"; empty without any."""
    told = json.dumps([one.to_dict() for one in shares])
    return {"rated": hashlib.blake2b(told.encode(), digest_size=16).hexdigest()} if shares else {}
