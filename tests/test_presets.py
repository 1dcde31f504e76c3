"""The presets in configs/: each names commands that exist, take its options, and read every section it holds."""

import shlex
from pathlib import Path

import click
import pytest
import yaml

from rlopt.cli.configured import Configured
from rlopt.cli.main import cli
from rlopt.config import read_preset

PRESETS = sorted((Path(__file__).resolve().parent.parent / "configs").glob("*.yaml"))


def commands_of(preset: Path) -> list[list[str]]:
    """The words of each command on the preset's first line, without the program's name."""
    line = preset.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
    words = [shlex.split(command) for command in line.split("&&")]
    assert all(command[0] == "rlopt" for command in words)
    return [command[1:] for command in words]


def parsed(words: list[str]) -> tuple[Configured, click.Context]:
    """A command and its parsed options; nothing is run."""
    command, rest = cli.get_command(click.Context(cli), words[0]), words[1:]
    while isinstance(command, click.Group):
        command, rest = command.get_command(click.Context(command), rest[0]), rest[1:]
    assert isinstance(command, Configured)
    return command, command.make_context(words[0], rest)  # a click.UsageError where an option is unknown


@pytest.mark.parametrize("preset", PRESETS, ids=[path.stem for path in PRESETS])
def test_a_preset_is_valid_for_the_commands_on_its_first_line(
    preset: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    read_preset(preset)
    read: set[str] = set()
    given = []
    for words in commands_of(preset):
        command, context = parsed(words)
        if (config := context.params.get("config")) is not None:
            given.append(config.resolve())
            read |= set(command.reads)
        elif given and "fit-reward" in [words[0] for words in commands_of(preset)]:
            read |= set(command.reads)  # fit-reward keeps the preset in the run
    assert set(given) == {preset}
    held = set(yaml.safe_load(preset.read_text(encoding="utf-8")))
    assert held - read == set(), "no command of the first line reads these sections"


def test_commands_know_the_sections_that_they_read() -> None:
    arguments = {"ppo": [], "generate": ["i.csv", "-o", "o.csv"], "fit-reward": ["l.csv"], "offline-eval": []}
    assert {name: parsed([name, *rest])[0].reads for name, rest in arguments.items()} == {
        "ppo": ("ppo", "sft"),
        "generate": ("constraints", "generate"),
        "fit-reward": ("reward", "columns", "exclude", "constraints"),
        "offline-eval": ("eval",),
    }
