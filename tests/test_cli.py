"""The command line: instant, one line an error, JSON alone on stdout, help that teaches."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from reward.features.lexicon import KINDS
from rlopt.algorithms import ALGORITHMS
from rlopt.cli.main import cli
from rlopt.config import (
    EvalConfig,
    ExploreConfig,
    ExportConfig,
    GenerateConfig,
    PpoConfig,
    RewardConfig,
    ServeConfig,
    SftConfig,
    ShortenConfig,
    SimulateConfig,
    StageConfig,
    TagConfig,
)
from tests.conftest import Outcome
from tests.stages.menu import make_arms, make_run

Rlopt = Callable[..., Outcome]


def commands(group: click.Group = cli) -> Iterator[str]:
    """All commands, those of a group after it: "tag", "tag fit"."""
    for name in group.list_commands(click.Context(group)):
        yield name
        inner = group.get_command(click.Context(group), name)
        if isinstance(inner, click.Group):
            yield from (f"{name} {part}" for part in commands(inner))


def command_of(name: str) -> click.Command:
    """The command called ``name``."""
    found: click.Command | None = cli
    for part in name.split():
        assert isinstance(found, click.Group)
        found = found.get_command(click.Context(found), part)
    assert found is not None
    return found


NAMES = list(commands())
HEAVY = {
    "accelerate", "datasets", "duckdb", "lightgbm", "matplotlib", "numpy", "pandas", "peft", "pyarrow", "pydantic",
    "scipy", "sklearn", "torch", "transformers", "trl",
}  # fmt: skip
SLOW = HEAVY - {"duckdb", "numpy", "pyarrow", "pydantic"}  # those that take half a second or more


def imported(*arguments: str) -> set[str]:
    """Top-level modules that ``python ARGUMENTS`` loads."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    return {line.rsplit("|", 1)[1].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}


def test_help_loads_nothing_heavy() -> None:
    assert imported("-m", "rlopt", "--help") & HEAVY == set()


@pytest.mark.parametrize("name", NAMES)
def test_the_help_of_a_command_teaches_and_ends_with_an_example(rlopt: Rlopt, name: str) -> None:
    outcome = rlopt(*name.split(), "--help")
    assert outcome.code == 0
    text = outcome.out.split("\nOptions:")[0]
    assert re.search(rf"Example:\n\s+rlopt {name}\b", text), text
    assert text.rstrip().splitlines()[-1].strip().startswith("rlopt ")
    assert "--json" in outcome.out


def test_without_a_command_stands_the_help_with_every_command_and_its_whole_summary(rlopt: Rlopt) -> None:
    outcome = rlopt()
    assert outcome.code == 0
    assert outcome.err == ""
    assert outcome.out == rlopt("--help").out
    told = " ".join(outcome.out.split())
    for name in cli.list_commands(click.Context(cli)):
        summary = (command_of(name).help or "").split("\n\n")[0].split()
        assert " ".join([name, *summary]) in told


@pytest.mark.parametrize(("flags", "shown"), [((), False), (("-v",), True)])
def test_what_extensions_print_at_the_very_end_is_dropped(flags: tuple[str, ...], shown: bool) -> None:
    script = (
        "import os, sys\nfrom rlopt.cli.main import main\n"
        "class Leak:\n    def __del__(self, write=os.write):\n        write(2, b'leaked 3 instances')\n"
        "sys.leak = Leak()\nmain()\n"
    )
    command = [sys.executable, "-c", script, "check-logs", "none.csv", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Error: Cannot read none.csv" in done.stderr
    assert ("leaked" in done.stderr) is shown


def test_json_may_stand_before_the_command(rlopt: Rlopt) -> None:
    before, after = rlopt("--json", "check-logs", "none.csv"), rlopt("check-logs", "none.csv", "--json")
    assert (before.code, before.out, before.err) == (after.code, after.out, after.err)
    assert json.loads(before.out)["error"].startswith("Cannot read none.csv")


def test_what_is_not_there_is_told_before_anything_slow_is_loaded(tmp_path: Path) -> None:
    make_run(tmp_path / "run", make_arms(9))
    (tmp_path / "items.csv").write_text("item_id\na\n", encoding="utf-8")
    gone, out, run = "gone.parquet", "out.parquet", ["--run", "run"]
    refused = [
        ["fit-reward", gone, *run], ["score", gone, "-o", out, *run],
        ["generate", gone, "-o", out, "--policy", "ppo", *run],
        ["offline-eval", "--policy", gone, *run], ["ppo", "--report-to", "nowhere", *run], ["try", gone],
        ["sft", "--run", "none"], ["review", gone, *run], ["explore", gone, "-o", out, *run], ["check-logs", gone],
    ]  # fmt: skip
    code = (
        "import json, sys; from rlopt.cli.main import run\n"
        f"print(json.dumps([run(arguments) for arguments in {refused!r}]))\n"
        f"print(json.dumps(sorted({SLOW!r} & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    codes, loaded = map(json.loads, done.stdout.splitlines())
    assert codes == [1] * len(refused), done.stderr
    assert loaded == []
    assert done.stderr.count("no such file") >= 6


def test_importing_rlopt_loads_nothing_heavy() -> None:
    assert imported("-c", "import rlopt; dir(rlopt)") & HEAVY == set()


def test_public_names_resolve() -> None:
    import rlopt

    for name in rlopt.__all__:
        assert getattr(rlopt, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = rlopt.Nonsense


CONFIG_OF = {
    "fit-reward": RewardConfig,
    "sft": SftConfig,
    "ppo": PpoConfig,
    "offline-eval": EvalConfig,
    "generate": GenerateConfig,
    "explore": ExploreConfig,
    "export": ExportConfig,
    "serve": ServeConfig,
    "simulate": SimulateConfig,
    "tag fit": TagConfig,
    "tag apply": ShortenConfig,
}


def told_in_help(name: str) -> dict[str, str]:
    """Option -> the default that its help tells."""
    return {
        str(option.name): match.group(1)
        for option in command_of(name).params
        if isinstance(option, click.Option) and (match := re.search(r"\[default: (.*?)\]", option.help or ""))
    }


@pytest.mark.parametrize(("name", "config"), CONFIG_OF.items())
def test_defaults_told_in_the_help_are_the_defaults(name: str, config: type[StageConfig]) -> None:
    told = told_in_help(name)
    values = {field: config.model_fields[field].default for field in told if field in config.model_fields}
    plain = {field: str(value) for field, value in values.items() if type(value) in (int, float, str)}
    assert plain
    assert {field: told[field] for field in plain} == plain
    flags = {option.name: option for option in command_of(name).params}
    for field, value in values.items():
        if isinstance(value, bool):
            assert told[field] in (flags[field].opts if value else flags[field].secondary_opts)


def test_the_help_tells_what_is_taken_where_nothing_is_given() -> None:
    assert told_in_help("ppo")["generations"].startswith("1 for PPO, 8 for GRPO, 8 for RLOO")
    assert told_in_help("tag fit")["learning_rate"] == "1e-3 for the tiny encoder, 5e-5 for a pretrained one"
    assert told_in_help("generate")["keep_current"] == "--keep-current"
    assert told_in_help("compare")["best_of"] == "4, 16, 64"


def test_an_option_takes_what_its_setting_takes() -> None:
    options = {option.name: option for option in command_of("generate").params}
    assert options["n"].type is click.INT
    assert options["top_p"].type is click.FLOAT
    assert isinstance(options["support"].type, click.Choice)
    assert list(options["support"].type.choices) == list(KINDS)
    assert options["support"].multiple
    assert not options["engine"].multiple
    algorithm = next(option for option in command_of("ppo").params if option.name == "algorithm")
    assert isinstance(algorithm.type, click.Choice)
    assert list(algorithm.type.choices) == list(ALGORITHMS)


def test_every_flag_of_a_stage_is_a_setting() -> None:
    other = {"run_path", "config", "columns", "logs", "items", "out", "json", "verbose", "force", "update", "tmp_dir"}
    other |= {"gate", "trained_on", "scheduler", "titles", "unlabelled", "query", "reviews", "results", "catalogue"}
    other |= {"raw", "excel"}
    sft = set(SftConfig.model_fields)
    for name, config in CONFIG_OF.items():
        command = command_of(name)
        known = set(config.model_fields) | (sft if name == "ppo" else set())
        flags = {param.name for param in command.params} - (other - set(config.model_fields))
        assert flags <= known, f"{name}: {flags - known}"


def test_wrong_usage_is_exit_code_2(rlopt: Rlopt) -> None:
    outcome = rlopt("ppo", "--stpes", "3")
    assert outcome.code == 2
    assert "--steps" in outcome.err
    assert "Error: " in outcome.err
    assert rlopt("nonsense").code == 2


def test_an_error_is_one_line_and_exit_code_1(rlopt: Rlopt, tmp_path: Path) -> None:
    outcome = rlopt("offline-eval", "--run", tmp_path / "none")
    assert outcome.code == 1
    assert outcome.out == ""
    assert re.fullmatch(r"Error: There is no run at .*\n", outcome.err)


def test_an_error_in_json_mode_is_also_a_json_object(rlopt: Rlopt, tmp_path: Path) -> None:
    outcome = rlopt("score", "x.parquet", "-o", tmp_path / "y", "--run", tmp_path / "none", "--json")
    assert outcome.code == 1
    assert list(outcome.json) == ["error"]
    assert outcome.err == f"Error: {outcome.json['error']}\n"


def test_verbose_shows_the_traceback(rlopt: Rlopt, tmp_path: Path) -> None:
    outcome = rlopt("sft", "--run", tmp_path / "none", "-v")
    assert "Traceback (most recent call last)" in outcome.err
    assert outcome.err.splitlines()[-1].startswith("Error: There is no run")


def test_an_interruption_says_how_to_continue(rlopt: Rlopt, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rlopt.cli.options.open_run", interrupt)
    outcome = rlopt("ppo")
    assert outcome.code == 130
    assert outcome.err.strip() == "Error: Interrupted. The same command continues where this one stopped."


def test_an_unforeseen_error_is_still_one_line(rlopt: Rlopt, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("x\ny")

    monkeypatch.setattr("rlopt.cli.options.open_run", fail)
    outcome = rlopt("ppo")
    assert outcome.code == 1
    assert re.fullmatch(r"Error: Unexpected KeyError: .* bug in rlopt; -v shows where\.\n", outcome.err)


def test_with_json_nothing_else_reaches_stdout(tmp_path: Path) -> None:
    script = (
        "import ctypes, sys\n"
        "from rlopt.cli import main, options\n"
        "def noisy(*_, **__):\n"
        "    print('python speaks')\n"
        "    libc = ctypes.CDLL(None); libc.puts(b'c speaks'); libc.fflush(None)\n"
        "    raise options.click.ClickException('stop')\n"
        "options.open_run = noisy\n"
        "sys.exit(main.run(['ppo', '--json']))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert json.loads(done.stdout) == {"error": "stop"}
    assert "python speaks" in done.stderr
    assert "c speaks" in done.stderr
    assert done.returncode == 1


def test_threads_can_be_set(rlopt: Rlopt, monkeypatch: pytest.MonkeyPatch) -> None:
    from rlopt import threads

    monkeypatch.setenv("RLOPT_THREADS", "3")
    assert threads.for_model(10) == threads.for_model(10**9) == 3
    monkeypatch.setenv("RLOPT_THREADS", "many")
    outcome = rlopt("ppo")
    assert outcome.code == 1
    assert outcome.err == "Error: RLOPT_THREADS must be a whole number of at least 1. Got 'many'.\n"
    monkeypatch.delenv("RLOPT_THREADS")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert threads.for_model(1_000_000) == 1
    assert threads.available() >= 1
