"""The presets in configs/: found by name; each names commands that exist, take its options, and read all it holds."""

import json
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from rlopt.cli.main import cli
from rlopt.config import preset_files, read_preset
from rlopt.config.preset_files import preset_file
from rlopt.errors import ConfigError
from rlopt.stages import demo

DEMO_SECTIONS = ("simulate", "reward", "sft", "ppo", "eval")
PRESETS = sorted((Path(__file__).resolve().parent.parent / "configs").glob("*.yaml"))


def commands_of(preset: Path) -> list[list[str]]:
    """The words of each command on the preset's first line, without the program's name."""
    line = preset.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
    words = [shlex.split(command) for command in line.split("&&")]
    assert all(command[0] == "rlopt" for command in words)
    return [command[1:] for command in words]


def parsed(words: list[str]) -> tuple[click.Command, click.Context]:
    """A command and its parsed options; nothing is run."""
    command, rest = cli.get_command(click.Context(cli), words[0]), words[1:]
    while isinstance(command, click.Group):
        command, rest = command.get_command(click.Context(command), rest[0]), rest[1:]
    assert command is not None
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
        if command.name == "demo":
            config, sections = demo.QUICK_PRESET if context.params["quick"] else demo.PRESET, DEMO_SECTIONS
        else:
            config, sections = context.params.get("config"), command.reads
        if config is not None:
            given.append(preset_file(config).resolve())
            read |= set(sections)
        elif given and "fit-reward" in [words[0] for words in commands_of(preset)]:
            read |= set(sections)  # fit-reward keeps the preset in the run
    assert set(given) == {preset}
    held = set(yaml.safe_load(preset.read_text(encoding="utf-8")))
    assert held - read == set(), "no command of the first line reads these sections"


def test_a_preset_is_found_by_its_name_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_preset("quick")["reward"] == {"members": 3}
    (tmp_path / "quick").write_text("ppo: {steps: 7}", encoding="utf-8")  # the user's own file goes before
    assert read_preset("quick") == {"ppo": {"steps": 7}}


def test_in_an_installed_package_the_presets_lie_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preset_files, "_PACKAGE", tmp_path / "rlopt")
    (tmp_path / "rlopt" / "presets").mkdir(parents=True)
    (tmp_path / "configs").mkdir()  # another package's
    (tmp_path / "rlopt" / "presets" / "mine.yaml").write_text("ppo: {steps: 7}", encoding="utf-8")
    assert read_preset("mine") == {"ppo": {"steps": 7}}


@pytest.mark.parametrize("name", ["quik", "configs/quick.yml", "nowhere/quick.yaml"])
def test_an_unknown_preset_lists_those_there_are(name: str) -> None:
    with pytest.raises(ConfigError, match=f"no config file {name}. Did you mean the preset quick.*conversions, demo,"):
        preset_file(name)


def test_commands_know_the_sections_that_they_read() -> None:
    arguments = {"ppo": [], "generate": ["i.csv", "-o", "o.csv"], "fit-reward": ["l.csv"], "offline-eval": []}
    assert {name: parsed([name, *rest])[0].reads for name, rest in arguments.items()} == {
        "ppo": ("ppo", "sft"),
        "generate": ("constraints", "generate"),
        "fit-reward": ("reward", "columns", "exclude", "constraints"),
        "offline-eval": ("eval",),
    }


def test_the_schema_takes_every_preset_and_refuses_what_the_reader_refuses(rlopt: Any) -> None:
    import jsonschema

    schema = json.loads(rlopt("config-schema").out)
    jsonschema.Draft202012Validator.check_schema(schema)
    for name in preset_files.preset_names():
        jsonschema.validate(yaml.safe_load(preset_file(name).read_text(encoding="utf-8")), schema)
    for wrong in ({"pqo": {}}, {"ppo": {"stepz": 1}}, {"ppo": {"steps": -1}}, {"eval": {"lang": "fr"}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)
