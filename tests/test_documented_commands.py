"""Commands in documents, help texts and messages are ones that the command line and the benchmarks take."""

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

import click
import pytest

from tests.documented import (
    DOCUMENTS,
    ROOT,
    all_options,
    benchmark_lines,
    benchmark_parser,
    in_blocks,
    in_help,
    in_messages,
    in_sentences,
    options_of,
    parsed,
)

BENCHMARKS = sorted((ROOT / "tests" / "benchmarks").glob("*.py"))
OF_OTHER_PROGRAMS = {"--build-arg", "--help", "--logdir", "--no-deps", "--profile", "--strict"}  # docker, pip, mypy ...
PAGES_OF_FIGURES = [p for p in DOCUMENTS if p.name not in ("architecture.md", "CONTRIBUTING.md")]  # the first: trials


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_of_a_document_are_taken(document: Path) -> None:
    for shown in in_blocks(document):
        parsed(shown)
    for shown in in_sentences(document):
        parsed(shown, complete=False)


def test_the_blocks_of_commands_are_found() -> None:
    readme = [shown.words for shown in in_blocks(ROOT / "README.md")]
    assert ("ppo", "--algorithm", "grpo") in readme
    assert ("compare",) in readme
    assert len(readme) > 20


def test_examples_of_help_texts_are_taken() -> None:
    found = list(in_help())
    assert len(found) > 30
    for shown in found:
        parsed(shown)


def test_messages_name_commands_and_options_that_exist() -> None:
    files = [path for room in ("rlopt", "reward", "envs") for path in sorted((ROOT / room).rglob("*.py"))]
    found = [shown for path in files for shown in in_messages(path)]
    assert len(found) > 100
    for shown in found:
        unknown = {word for word in shown.words if word.startswith("--")} - options_of(shown)
        assert not unknown, f"{shown}: {unknown}"


def test_options_that_pages_name_exist() -> None:
    """Also those in prose, without their command: an option may be in the settings and no command take it."""
    known = all_options() | OF_OTHER_PROGRAMS
    for benchmark in BENCHMARKS:
        known |= set(re.findall(r'"(--[a-z-]+)"', benchmark.read_text(encoding="utf-8")))
    for page in [*DOCUMENTS, ROOT / "CHANGELOG.md"]:
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page.read_text(encoding="utf-8")))
        assert named <= known, f"{page.name}: {named - known}"


@pytest.mark.parametrize("documents", [DOCUMENTS, BENCHMARKS], ids=["documents", "docstrings"])
def test_benchmarks_take_what_they_are_shown_with(documents: Iterable[Path]) -> None:
    found = [(path.name, *line) for path in documents for line in benchmark_lines(path.read_text(encoding="utf-8"))]
    assert len(found) > 40
    for where, file, words in found:
        parser, parts = benchmark_parser(ROOT / file)
        if parts:
            assert not words or words.pop(0) in parts, f"{where}: {file} {words}"
        parser.parse_args(words)  # SystemExit where an option is unknown


@pytest.mark.parametrize("page", PAGES_OF_FIGURES, ids=lambda path: path.name)
def test_figures_are_named_with_the_command_that_prints_them(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for section in re.split(r"^#+ ", text, flags=re.MULTILINE):
        rows = [line for line in section.splitlines() if len(re.findall(r"\d%|\d\.\d", line)) > 1 and line[:1] in "| "]
        named = re.search(r"tests/benchmarks/|`rlopt [a-z-]+ ", section)
        assert len(rows) < 3 or named, f"{page.name}: {section.splitlines()[0]}"


def test_every_part_of_the_results_names_its_command() -> None:
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    for part in re.split(r"^(?:## |\*\*)", text, flags=re.MULTILINE)[1:]:
        assert re.search(r"`(?:python tests/benchmarks/|--print )", part), part.splitlines()[0]


def test_extras_that_documents_name_exist(root: Path) -> None:
    known = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        named = re.findall(r"(?:rlopt|\.|extra `?)\[([a-z0-9,]+)\]", text)
        assert {extra for names in named for extra in names.split(",")} <= set(known), document.name


def test_a_wrong_command_is_found(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    for line in ("rlopt ppo --stepz 3", "rlopt pqo", "rlopt ppo --algorithm dpo", "rlopt ppo --steps x", "rlopt score"):
        document.write_text(f"    {line}\n", encoding="utf-8")
        (shown,) = in_blocks(document)
        with pytest.raises(click.UsageError):
            parsed(shown)
