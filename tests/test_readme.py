"""README and docs show what is there: the tree, make's targets, presets, files, links."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOMS = ("rlopt", "reward", "envs", "tests")
LEFT_OUT = {"__pycache__", "runs", "build", "dist"}


@pytest.fixture(scope="module")
def readme(root: Path) -> str:
    """README and all documents."""
    documents = [root / "README.md", root / "CONTRIBUTING.md", *sorted((root / "docs").glob("*.md"))]
    return "\n".join(document.read_text(encoding="utf-8") for document in documents)


def test_the_readme_is_short(root: Path) -> None:
    assert (root / "README.md").stat().st_size <= 9000


def tree(readme: str) -> list[str]:
    """Paths of the tree in docs/architecture.md, folders with a slash at the end."""
    block = readme.split("## The tree")[1].split("```text\n")[1].split("```")[0]
    parents: list[str] = []
    out = []
    for line in block.splitlines():
        match = re.match(r"^( *)(\S+)(  +\S.*)?$", line)
        assert match, f"not 'name  what it is': {line!r}"
        assert match[3], f"{line!r} is not annotated"
        depth = len(match[1]) // 2
        parents = [*parents[:depth], match[2]]
        out.append("".join(parents))
    return out


def shown_folders(folder: Path) -> Iterator[Path]:
    """The folder and those below it that hold code."""
    if any(path.suffix == ".py" for path in folder.iterdir()):
        yield folder
    for inner in sorted(folder.iterdir()):
        if inner.is_dir() and inner.name not in LEFT_OUT:
            yield from shown_folders(inner)


def test_everything_in_the_tree_exists(readme: str, root: Path) -> None:
    for name in tree(readme):
        path = root / name
        assert path.is_dir() if name.endswith("/") else path.is_file(), f"README shows {name}, which is not there"


def test_every_room_is_in_the_tree(readme: str, root: Path) -> None:
    shown = set(tree(readme))
    folders = {f"{f.relative_to(root)}/" for room in ROOMS for f in shown_folders(root / room)}
    assert folders - shown == set()


def test_every_module_of_rlopt_itself_and_every_top_level_file_is_in_the_tree(readme: str, root: Path) -> None:
    shown = set(tree(readme))
    modules = {f"rlopt/{p.name}" for p in (root / "rlopt").glob("*.py") if not p.name.startswith("__")}
    files = {p.name for p in root.iterdir() if p.is_file() and not p.name.startswith(".")}
    assert (modules | files) - shown == set()


def test_every_make_target_the_readme_shows_exists(readme: str, root: Path) -> None:
    targets = set(re.findall(r"(?:^ {4}|`)make ([a-z-]+)", readme, re.MULTILINE))
    assert {"demo", "test"} <= targets
    assert targets <= set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), re.MULTILINE))


def test_every_preset_the_readme_shows_exists(readme: str, root: Path) -> None:
    shown = re.findall(r"--config ([\w-]+)", readme)
    assert shown
    assert all((root / "configs" / f"{preset}.yaml").is_file() for preset in shown)


def test_what_the_documents_name_exists(root: Path) -> None:
    documents = [root / "README.md", root / "CONTRIBUTING.md", *(root / "docs").rglob("*.md")]
    for document in documents:
        text = document.read_text(encoding="utf-8")
        links = [document.parent / link for link in re.findall(r"\]\(([\w./-]+[\w/])\)", text)]
        files = [root / name for name in re.findall(r"(?:rlopt|reward|envs|tests|configs)/[\w/]+\.(?:py|yaml)\b", text)]
        missing = [str(path) for path in links + files if not path.exists()]
        assert not missing, f"{document.name} names {missing}"


def test_links_into_a_page_meet_a_heading_of_it(root: Path) -> None:
    documents = [root / "README.md", root / "CONTRIBUTING.md", *(root / "docs").rglob("*.md")]
    for document in documents:
        for page, anchor in re.findall(r"\]\(([\w./-]*)#([\w-]+)\)", document.read_text(encoding="utf-8")):
            text = (document.parent / page if page else document).read_text(encoding="utf-8")
            headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, f"{document.name}: {page}#{anchor}"


def test_the_shops_of_the_readme_are_those_of_the_results(root: Path) -> None:
    results = (root / "docs" / "results.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ((?:en|zh) \d) \| (.+) \|$", (root / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) == 3
    for shop, cells in rows:
        (row,) = re.findall(rf"^\| {shop} \| (.+) \|$", results, re.MULTILINE)
        *figures, verdict = cells.split(" | ")
        assert " | ".join(figures) in row
        assert row.endswith(verdict)
