"""House style: finds phrases of house_style.yaml in files, and says what to write instead; part of `make lint`."""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import yaml

STYLE = Path(__file__).with_suffix(".yaml")
BETWEEN = r"""[\s"'#]+f?["']?"""  # words of a text may stand on two lines, of a comment or of a literal


def style() -> dict[str, str]:
    """Phrase -> what to write instead."""
    held: dict[str, str] = yaml.safe_load(STYLE.read_text(encoding="utf-8"))
    return held


def found(text: str, phrases: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    """Line and phrase of each place where one stands."""
    for phrase in phrases:
        words = BETWEEN.join(map(re.escape, phrase.split()))
        for match in re.finditer(rf"(?<![\w-]){words}(?![\w-])", text, re.IGNORECASE):
            yield text.count("\n", 0, match.start()) + 1, phrase


def main(files: Iterable[str]) -> int:
    """Print each place; the exit code."""
    phrases, places = style(), 0
    for file in files:
        for line, phrase in sorted(found(Path(file).read_text(encoding="utf-8"), phrases)):
            sys.stderr.write(f'{file}:{line}: "{phrase}": write {phrases[phrase]}\n')
            places += 1
    return int(places > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
