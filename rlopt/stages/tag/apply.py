"""``rlopt tag apply``: short titles for a file of long ones, as a stream."""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from reward.logs.schema import looks_like
from reward.logs.source import FileSource, find_files, open_source
from reward.logs.sources.local import LocalSource, Source, local
from reward.logs.validate import MAX_TITLE_CHARACTERS
from reward.plain import Plain
from rlopt.config import ShortenConfig
from rlopt.files import fingerprint, to_json
from rlopt.policy.pretrained import quiet_loading
from rlopt.progress import note, track
from rlopt.run import Run, package_versions
from rlopt.stages.common.outputs import check_output
from rlopt.stages.common.policies import compute_with
from rlopt.stages.common.shards import Shards, fingerprint_metadata, open_shards
from rlopt.stages.tag.data import rows
from rlopt.tagging.shorten import Limits, ShortTitle
from rlopt.tagging.spans import Units
from rlopt.tagging.tagger import Tagger, short_title
from rlopt.wording import counted

DEFAULT_CHARS = 15
MEMORY_LIMIT = "256MB"  # of the engine that opens the file
ITEM_ID = "item_id"


@dataclass(frozen=True)
class ShortenResult(Plain):
    """Result of `apply_tagger`.

    Parameters
    ----------
    titles
        Rows.
    shortened, unchanged, without
        Titles that were cut, that were short enough, and for which there is no short title.
    titles_per_second
        Of this call, reading and writing included.
    """

    output: str
    titles: int
    shortened: int
    unchanged: int
    without: int
    titles_per_second: float


def apply_tagger(run: Run, titles_file: Source, out: str | Path, config: ShortenConfig | None = None) -> ShortenResult:
    """Shorten titles with the run's tagger, in constant memory; after an interruption the same call resumes.

    One row a title, in the input's order: item_id (where the file has it, or `item_id` names its column), title,
    short_title, kept (JSON list of [kind, text]), reason (why there is no short title, or why it is not what one would
    expect), confidence (probability of the least certain span that was kept).

    Parameters
    ----------
    run
        A run with a finished ``tag``.
    titles_file
        Parquet, CSV or JSONL with a column of titles, a table in memory, or what else `reward.logs.sources.local`
        takes.
    out
        ``.parquet``, or ``.csv`` for CSV.

    Raises
    ------
    StageOrderError
        If the run has no tagger.
    LogError, PolicyError
        If the titles or the tagger cannot be read.
    RunError
        If the column is missing, ``out`` cannot be written, or another process is writing it.
    """
    config = config or ShortenConfig()
    run.require("tag")
    with local(titles_file) as here:
        return _apply(run, here, out, config)


def _apply(run: Run, titles_file: LocalSource, out: str | Path, config: ShortenConfig) -> ShortenResult:
    check_output(out, titles_file)
    limits = Limits(config.max_chars, config.max_width)
    if limits == Limits():
        limits = Limits(chars=DEFAULT_CHARS)
    quiet_loading()
    tagger = Tagger.load(run / "tag")
    compute_with(tagger.model)
    metadata = _metadata(run, config)
    began, written = time.monotonic(), 0
    with (
        open_source(titles_file, memory_limit=MEMORY_LIMIT) as source,
        open_shards(Path(out), _key(metadata, titles_file)) as shards,
    ):
        columns = _columns(source, config)
        totals = _Totals()
        start = _resume(shards, totals)
        with track("tag apply", _count(source), start=start) as bar:
            for number, piece in enumerate(_pieces(source, columns, config.shard_titles, start), start=shards.done()):
                table = _table(piece, tagger, limits, config.batch_size, ITEM_ID in columns)
                shards.write(number, table)
                totals.add(table)
                written += len(table)
                bar.update(len(table), titles_per_second=written / (time.monotonic() - began))
        if not totals.rows:  # an input without rows gives an output without rows
            shards.write(0, _table([], tagger, limits, config.batch_size, ITEM_ID in columns))
        shards.finish(metadata)
    return totals.result(str(out), written / (time.monotonic() - began))


def _metadata(run: Run, config: ShortenConfig) -> dict[str, str]:
    """Metadata that every short title can be traced to."""
    return fingerprint_metadata(
        {
            "run": str(run.path.resolve()),
            "tagger_fingerprint": fingerprint(run / "tag"),
            "config": to_json(config.model_dump(mode="json")),
            "versions": to_json(package_versions()),
        }
    )


def _key(metadata: dict[str, str], titles_file: LocalSource) -> str:
    """Shards with another key belong to other titles, another tagger or other settings."""
    text = json.dumps(metadata, sort_keys=True) + "".join(fingerprint(path) for path in find_files(titles_file))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _resume(shards: Shards, totals: "_Totals") -> int:
    """Rows that an interrupted call has left, counted in."""
    for number in range(shards.done()):
        totals.add(shards.read(number))
    if totals.rows:
        note(f"Resuming after {counted(totals.rows, 'title')} already written")
    return totals.rows


def _count(source: FileSource) -> int:
    return int(source.query(f"SELECT count(*) FROM {source.relation}", source.parameters).fetchall()[0][0])  # noqa: S608


def _columns(source: FileSource, config: ShortenConfig) -> dict[str, str]:
    """Name in the rows -> column of the file."""
    ids = config.item_id or (ITEM_ID if ITEM_ID in source.columns else None)
    if ids is None and (usual := [column for column in source.columns if looks_like(column) == ITEM_ID]):
        note(f"The short titles are written without item_id; --item-id {usual[0]} takes it from '{usual[0]}'")
    return {"title": config.title, **({} if ids is None else {ITEM_ID: ids})}


def _pieces(source: FileSource, columns: Mapping[str, str], size: int, start: int) -> Iterator[list[dict[str, Any]]]:
    stream = rows(source, columns, start)
    while piece := list(islice(stream, size)):
        yield piece


def _table(
    piece: Sequence[Mapping[str, Any]], tagger: Tagger, limits: Limits, batch_size: int, with_ids: bool
) -> pa.Table:
    """One row a title."""
    written = ["" if row["title"] is None else str(row["title"]) for row in piece]
    titles = [Units.of(title if len(title) <= MAX_TITLE_CHARACTERS else "") for title in written]
    wanted = [n for n, title in enumerate(titles) if not limits.hold_text(title.text)]
    found = dict(zip(wanted, tagger.readings([titles[n] for n in wanted], batch_size), strict=True))
    short = [
        short_title(tagger, title, *found.get(n, ([], [])), limits)
        if len(written[n]) <= MAX_TITLE_CHARACTERS
        else ShortTitle(None, reason=f"the title has more than {MAX_TITLE_CHARACTERS:,} characters")
        for n, title in enumerate(titles)
    ]
    kept = [
        [[span.kind, title.slice(span.start, span.end)] for span in result.kept]
        for title, result in zip(titles, short, strict=True)
    ]
    columns: dict[str, tuple[list[Any], pa.DataType]] = {
        "title": (written, pa.string()),
        "short_title": ([result.text for result in short], pa.string()),
        "kept": ([to_json(entities) if entities else None for entities in kept], pa.string()),
        "reason": ([result.reason for result in short], pa.string()),
        "confidence": ([result.confidence for result in short], pa.float64()),
    }
    if with_ids:
        ids = [None if row[ITEM_ID] is None else str(row[ITEM_ID]) for row in piece]
        columns = {ITEM_ID: (ids, pa.string()), **columns}
    return pa.table({name: pa.array(values, kind) for name, (values, kind) in columns.items()})


class _Totals:
    """Sums over shards."""

    def __init__(self) -> None:
        self.rows = self.shortened = self.without = 0

    def add(self, table: pa.Table) -> None:
        self.rows += len(table)
        self.without += table["short_title"].null_count
        self.shortened += len(table) - table["kept"].null_count

    def result(self, output: str, speed: float) -> ShortenResult:
        unchanged = self.rows - self.shortened - self.without
        return ShortenResult(output, self.rows, self.shortened, unchanged, self.without, speed)
