"""A text file that is opened several times is parsed once, and again where it has changed."""

from pathlib import Path

import pytest

from reward.logs import staged_once as module
from reward.logs.source import open_source
from reward.logs.staged_once import staged_once


def columns(path: Path) -> list[str]:
    with open_source(path, threads=1) as source:
        return list(source.columns)


def test_a_file_is_parsed_once_in_the_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[Path] = []
    stage = module.stage

    def counted(con: object, path: Path, *more: object) -> object:
        parsed.append(path)
        return stage(con, path, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "stage", counted)
    log = tmp_path / "log.csv"
    log.write_text("item_id,title,click\n1,a,0\n", encoding="utf-8")
    with staged_once(tmp_path), staged_once():
        assert columns(log) == columns(log) == ["item_id", "title", "click"]
        assert len(parsed) == 1
        log.write_text("item_id,title,clicks\n1,a,10\n", encoding="utf-8")
        assert columns(log) == ["item_id", "title", "clicks"]
        assert len(parsed) == 2
    assert list(tmp_path.iterdir()) == [log]
    columns(log)
    assert len(parsed) == 3
