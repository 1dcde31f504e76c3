"""Settings: precedence, and errors that say everything at once."""

from pathlib import Path

import pytest

from rlopt.config import STAGES, PpoConfig, RewardConfig, RulesConfig, SftConfig, load, read_preset
from rlopt.errors import ConfigError


def preset(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "preset.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_then_run_then_file_then_flags(tmp_path: Path) -> None:
    path = preset(tmp_path, "ppo: {batch_size: 32, clip: 0.3}")
    config = load(PpoConfig, path, {"clip": 0.1, "steps": None}, preset={"ppo": {"batch_size": 16, "epochs": 2}})
    assert (config.steps, config.epochs, config.batch_size, config.clip) == (2000, 2, 32, 0.1)


def test_scientific_notation_without_a_dot_is_a_number(tmp_path: Path) -> None:
    assert load(PpoConfig, preset(tmp_path, "ppo: {learning_rate: 2e-4}")).learning_rate == 2e-4


def test_an_unknown_key_gets_a_suggestion_and_all_errors_come_at_once(tmp_path: Path) -> None:
    path = preset(tmp_path, "ppo: {stpes: 3, clip: 2, gamma: x}\nsfft: {}\nreward: {members: 0}\n")
    with pytest.raises(ConfigError) as caught:
        read_preset(path)
    message = str(caught.value)
    assert "\n" not in message
    assert "ppo.stpes is not a setting (did you mean 'steps'?)" in message
    assert "'sfft' is not a section (did you mean 'sft'?)" in message
    assert "ppo.clip must be less than 1. Got 2" in message
    assert "ppo.gamma must be number" in message
    assert "reward.members must be greater than or equal to 1. Got 0" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_numbers_that_are_none_are_refused(value: float) -> None:
    with pytest.raises(ConfigError, match=r"Settings of 'ppo': learning_rate must be"):
        load(PpoConfig, overrides={"learning_rate": value})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("- a\n- b", "must hold sections"),
        ("ppo: 3", "ppo must hold settings"),
        ("columns: title", "columns must hold"),
        ("ppo: {steps: [}", "cannot be read"),
        ("ppo: {steps: 5}\nppo: {steps: 6}", "the key 'ppo' a second time in line 2"),
        ("ppo: &a {steps: 5}\nsft: *a", "an alias"),
        ("ppo: " + "[" * 50 + "]" * 50, "nested more than 20 deep in line 1"),
    ],
)
def test_a_file_that_is_no_preset_is_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        read_preset(preset(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_one_that_is_not_utf8(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no config file"):
        read_preset(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"ppo: {\xff\xfe}")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_preset(tmp_path / "latin.yaml")


def test_word_lists_beside_a_preset_are_found_from_anywhere(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("cheap\n", encoding="utf-8")
    preset = tmp_path / "preset.yaml"
    preset.write_text('constraints: {banned: ["@words.txt", "@elsewhere.txt", dirt, "@"]}\n', encoding="utf-8")
    expected = (f"@{(tmp_path / 'words.txt').resolve()}", "@elsewhere.txt", "dirt", "@")
    assert load(RulesConfig, preset).banned == expected
    assert load(RulesConfig, preset=read_preset(preset)).banned == expected


def test_an_empty_phrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"required\.0 must have at least 1 character\. Got ''"):
        load(RulesConfig, overrides={"required": ("",)})


def test_an_empty_file_means_defaults(tmp_path: Path) -> None:
    assert load(SftConfig, preset(tmp_path, "")) == SftConfig()


def test_every_field_is_documented() -> None:
    for model in STAGES.values():
        assert model.__doc__
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name} has no description"


def test_configs_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        RewardConfig().seed = 3  # type: ignore[misc]


def test_every_preset_of_the_repository_is_valid_and_starts_with_its_command(root: Path) -> None:
    presets = sorted((root / "configs").glob("*.yaml"))
    assert presets
    for path in presets:
        read_preset(path)
        assert "rlopt " in path.read_text(encoding="utf-8").splitlines()[0], f"{path} does not start with its command"
