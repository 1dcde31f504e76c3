"""Commands that documents, help texts and messages show, as words, and parsed without being run."""

import argparse
import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from rlopt.cli.main import cli

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PLACEHOLDERS = {"N": "3", "M": "50", "S": "0"}  # whole numbers in docs/architecture.md


@dataclass(frozen=True)
class Shown:
    """A command as it is shown: where, and its words without the program's name."""

    where: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.where}: {shlex.join(self.words)}"


def in_blocks(document: Path) -> Iterator[Shown]:
    """Each ``rlopt`` command of the indented blocks, one for each alternative such as ``en|zh``."""
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), 1):
        if re.match(r"    (?:[A-Z_]+=\S+ )*rlopt ", line):
            yield from _commands(f"{document.name}:{number}", line)


def in_sentences(document: Path) -> Iterator[Shown]:
    """Each ``rlopt`` command between backticks."""
    text = re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^ {4}.*$", "", text, flags=re.MULTILINE)
    for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", text):
        words = " ".join(span.split())
        if match := re.search(r"(?:^|&& |-m )(rlopt [a-z].*)", words):
            yield from _commands(document.name, words if words.startswith("rlopt ") else match[1])


def in_help(group: click.Group = cli, name: str = "rlopt") -> Iterator[Shown]:
    """Each command of the examples of all help texts."""
    for part in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), part)
        assert command is not None
        for line in (command.help or "").partition("Example:")[2].splitlines():
            if line.strip().startswith("rlopt "):
                yield from _commands(f"{name} {part} --help", line)
        if isinstance(command, click.Group):
            yield from in_help(command, f"{name} {part}")


def in_messages(file: Path) -> Iterator[Shown]:
    """Each ``rlopt`` command, with the options right behind it, of the texts of a Python file.

    A word after "rlopt" that is no command is a verb ("rlopt reads ..."), unless options follow it.
    """
    known = set(cli.list_commands(click.Context(cli)))
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
        for found in re.findall(r"\brlopt ([a-z][a-z-]+(?: (?:fit|apply)\b)?(?: --[a-z][a-z-]+)*)", text):
            words = tuple(found.split())
            if words[0] in known or "-" in found:
                yield Shown(str(file.relative_to(ROOT)), words)


def _commands(where: str, line: str) -> Iterator[Shown]:
    line = re.split(r" {4,}(?![-\w]*=)|  +#| > ", line.strip())[0]
    for command in line.split(" && "):
        words = shlex.split(command.removesuffix(" ..."), comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words = words[1:]
        if words and words[0] == "rlopt":
            given = [PLACEHOLDERS.get(word, word) for word in words[1:] if word != "--help"]
            most = max((word.count("|") + 1 for word in given), default=1)
            for k in range(most):
                yield Shown(where, tuple(word.split("|")[min(k, word.count("|"))] for word in given))


def parsed(shown: Shown, complete: bool = True) -> click.Context:
    """The command with its options, not run; where it may be incomplete, what it needs is made up.

    Raises
    ------
    click.UsageError
        Where there is no such command, option or choice, or too few or too many arguments.
    """
    command, words = _command(shown)
    while True:
        try:
            return command.make_context(shown.words[0], list(words))
        except click.MissingParameter as missing:
            if complete or missing.param is None:
                raise
            option = [] if missing.param.param_type_name == "argument" else missing.param.opts[:1]
            words += [*option, *getattr(missing.param.type, "choices", ("x",))[:1]]


def all_options(command: click.Command = cli) -> set[str]:
    """Every option of the command and of those below it."""
    own = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            part = command.get_command(click.Context(command), name)
            assert part is not None
            own |= all_options(part)
    return own


def options_of(shown: Shown) -> set[str]:
    """Every option of the command."""
    return {option for param in _command(shown)[0].params for option in (*param.opts, *param.secondary_opts)}


def _command(shown: Shown) -> tuple[click.Command, list[str]]:
    command: click.Command | None = cli
    words = list(shown.words)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        command, words = command.get_command(click.Context(command), words[0]), words[1:]
    if command is None:
        raise click.UsageError(f"there is no such command: {shown}")
    return command, words


def benchmark_lines(text: str) -> Iterator[tuple[str, list[str]]]:
    """File and arguments of each ``tests/benchmarks/NAME.py ...`` of a text; brackets of optional ones are left out."""
    for found in re.findall(r"\btests/benchmarks/\w+\.py[^`#]*?(?=`|#|;|\. |\n\n|\n *(?:python|\|)|\Z)", text):
        file, *arguments = re.sub(r"[\[\]]", "", re.split(r"[),:](?:\s|$)", found)[0]).split()
        yield file, arguments if all(re.match(r"[\w./+-]+$", word) for word in arguments) else []


def benchmark_parser(file: Path) -> tuple[argparse.ArgumentParser, set[str]]:
    """The parser that a benchmark makes, from its source, with the options of all its parts; and their names."""
    parser, parts = argparse.ArgumentParser(file.name, exit_on_error=False), set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        called = node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""
        if isinstance(node, ast.Call) and called in ("add_argument", "add_parser"):
            names = [ast.literal_eval(name) for name in node.args]
            if called == "add_parser":
                parts.update(names)
            else:
                parser.add_argument(*names, **{k.arg: _value(k.value) for k in node.keywords if k.arg in _READ})
    return parser, parts


_READ = ("nargs", "action", "type")  # choices are often made of the benchmark's own tables


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Name):
        return {"int": int, "float": float}.get(node.id, str)
    return ast.literal_eval(node)
