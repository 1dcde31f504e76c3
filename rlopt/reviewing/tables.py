"""The tables of a review. An event holds its outcome, so that a proposal's newest event tells its state."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

METADATA = MetaData()

SETTINGS = Table(
    "rlopt_settings", METADATA, Column("name", String(40), primary_key=True), Column("value", Text, nullable=False)
)

PROPOSALS = Table(
    "rlopt_proposals",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("key", String(32), nullable=False, unique=True),
    Column("source", String(64), nullable=False),  # fingerprint of the policy that wrote it
    Column("item_id", Text, nullable=False),
    Column("title", Text),  # None: generate found none
    Column("current_title", Text),
    Column("kept", Boolean, nullable=False),
    Column("reason", Text),
    Column("report", Text),
    Column("reward", Float),
    Column("support", Float),
    Column("relevance", Float),
    Column("fluency", Float),
    Column("lift", Float),
    Column("low", Float),
    Column("high", Float),
    Column("chance", Float),  # of being better than the current title
    Column("priority", Float, nullable=False),
    Column("draw", BigInteger, nullable=False),  # place in the random order that ratings follow
    Column("two", Boolean, nullable=False),  # true if two people read it
    Column("facts", Text, nullable=False),
    Column("search", Text, nullable=False),
)
Index("rlopt_proposals_draw", PROPOSALS.c.draw)
Index("rlopt_proposals_item", PROPOSALS.c.item_id)
Index("rlopt_proposals_two", PROPOSALS.c.id, sqlite_where=text("two = 1"), postgresql_where=PROPOSALS.c.two)

# Where each proposal stands, and what pages are filtered by. It repeats what proposals and events say, so that a page
# is read off an index, however many are decided.
QUEUE = Table(
    "rlopt_queue",
    METADATA,
    Column("proposal", ForeignKey(PROPOSALS.c.id), primary_key=True),
    Column("state", String(10), nullable=False),
    Column("undecided", Boolean, nullable=False),
    Column("priority", Float, nullable=False),
    Column("chance", Float),  # null where the current title stays
    Column("flagged", Boolean, nullable=False),
    Column("sound", Boolean, nullable=False),  # a new title that one person may accept and nothing is reported of
)
_WALKED = (
    QUEUE.c.priority.desc(),
    *(QUEUE.c[name] for name in ("proposal", "chance", "flagged", "sound")),
)
Index("rlopt_queue_state", QUEUE.c.state, *_WALKED)
Index("rlopt_queue_undecided", QUEUE.c.undecided, *_WALKED)

EVENTS = Table(
    "rlopt_events",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("proposal", ForeignKey(PROPOSALS.c.id), nullable=False),
    Column("seq", Integer, nullable=False),  # 1, 2, ... of its proposal: two people cannot both be next
    Column("nonce", String(64), nullable=False, unique=True),  # of the form: sent twice, it counts once
    Column("at", String(40), nullable=False),
    Column("reviewer", String(80), nullable=False),
    Column("action", String(10), nullable=False),
    Column("reason", Text),
    Column("phrase", Text),  # words that no title may hold
    Column("opinion", String(10), nullable=False),  # of this reviewer, after the event
    Column("title", Text),  # the title that this reviewer wants
    Column("final", Boolean, nullable=False),  # settles a dispute
    Column("was", String(10), nullable=False),  # state of the proposal, before and after the event
    Column("state", String(10), nullable=False),
    Column("before", Text),  # approved title before and after
    Column("after", Text),
    Column("batch", String(40)),  # of a bulk accept
    UniqueConstraint("proposal", "seq"),
)
Index("rlopt_events_reviewer", EVENTS.c.reviewer, EVENTS.c.id)
Index("rlopt_events_opinion", EVENTS.c.reviewer, EVENTS.c.opinion, EVENTS.c.proposal, EVENTS.c.seq)
Index("rlopt_events_batch", EVENTS.c.batch)

RATINGS = Table(
    "rlopt_ratings",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("proposal", ForeignKey(PROPOSALS.c.id), nullable=False),
    Column("nonce", String(64), nullable=False),
    Column("at", String(40), nullable=False),
    Column("reviewer", String(80), nullable=False),
    Column("question", String(30), nullable=False),
    Column("answer", Boolean, nullable=False),
    UniqueConstraint("proposal", "reviewer", "question"),
    UniqueConstraint("nonce", "question"),
)
