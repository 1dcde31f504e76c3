"""Title words that an item's longer texts hold: the words of a description in the tiny policy's prompt.

A model of less than a million parameters does not read prose. It need not: of a description it matters which words
that titles are made of stand there ("printed", "slim fit", "纯棉"), and each of them is one token of the prompt.
"""

from collections import Counter
from collections.abc import Iterable

import numpy as np

from reward.features.phrases import is_cjk_word, units
from reward.text import words

MAX_KEYWORDS = 500
MAX_TOLD = 24  # of one item, the first ones
MIN_TITLES = 5
MAX_TEXT_CHARS = 2000


def learn_keywords(texts_and_titles: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Words, and pairs of CJK characters, that titles say more often of items whose text holds them.

    At most `MAX_KEYWORDS`, those with the most information: titles that say the word and whose text holds it, times
    the logarithm of how much more often titles say it then.

    Parameters
    ----------
    texts_and_titles
        The item's longer texts and one of its titles, without the values that the prompt tells already.
    """
    in_text: Counter[str] = Counter()
    in_title: Counter[str] = Counter()
    both: Counter[str] = Counter()
    n_titles = 0
    for text, title in texts_and_titles:
        held, said = set(_words(text)), set(_words(title))
        in_text.update(held)
        in_title.update(said)
        both.update(held & said)
        n_titles += 1
    often = [(word, n) for word, n in both.items() if n >= MIN_TITLES]
    information = {word: n * np.log((n / in_text[word]) / (in_title[word] / n_titles)) for word, n in often}
    best = sorted((-value, word) for word, value in information.items() if value > 0)
    return tuple(sorted(word for _, word in best[:MAX_KEYWORDS]))


def keywords_in(text: str, keywords: frozenset[str]) -> list[str]:
    """Find those of ``keywords`` that stand in ``text``, each once, the first `MAX_TOLD`."""
    return [word for word in dict.fromkeys(_words(text)) if word in keywords][:MAX_TOLD]


def _words(text: str) -> list[str]:
    return [word for word in units(words(text[:MAX_TEXT_CHARS])) if not is_cjk_word(word)]
