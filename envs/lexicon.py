"""Reading of a title: which words are the item's, which are generic, and which claim something else or nothing.

One greedy longest match serves both languages, because `reward.text.words` makes every Chinese character a word.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

from reward.items import Item
from reward.text import display_width, is_cjk, words

from .catalog import LocaleSpec, load_locale

Phrase = tuple[str, ...]
PROMO, FUNCTION, HEAD, CATEGORY, CLAIM = "promo", "function", "type", "category", "claim"


@dataclass(frozen=True, slots=True)
class Mention:
    """The first mention of one value: its field, the value as the item has it, display columns before it."""

    field: str
    value: str
    offset: int


@dataclass(frozen=True, slots=True)
class Reading:
    """Counts of what a shopper finds in a title.

    Parameters
    ----------
    n_words
        Words (`reward.text.words`).
    width
        Columns its words take, with a blank after each but the last in spaced scripts; symbols fill no space.
    content_width
        The same without function words, which fill a title but say nothing.
    mentions
        First mention of each of the item's values.
    names_product
        True where the product type, or a bare product word of the category, occurs.
    promo
        Promotional phrases.
    kept, broken
        Those of them that promise something the item has, and something it has not.
    fillers
        Function words.
    repeats
        Mentions after the first of the same value, product word or promotional phrase.
    wrong_claims, gibberish
        Unsupported words that the catalogue knows from elsewhere (or numbers), and words that no lexicon knows.
    unstated
        All unstated words as read (casefolded), in order.
    shouting
        Words of four or more letters in capitals.
    symbols
        Punctuation marks past the few that separate parts, and characters that are no text.
    """

    n_words: int
    width: int
    content_width: int
    mentions: tuple[Mention, ...]
    names_product: bool
    promo: int
    fillers: int
    repeats: int
    wrong_claims: int
    gibberish: int
    unstated: tuple[str, ...]
    shouting: int
    symbols: int
    kept: int = 0
    broken: tuple[str, ...] = ()


@dataclass(frozen=True)
class PhraseIndex:
    """Phrases by their first word, longest first, with what each stands for."""

    by_first: Mapping[str, tuple[tuple[Phrase, str, str], ...]]

    @classmethod
    def of(cls, entries: Iterable[tuple[str, str]]) -> "PhraseIndex":
        """Index of (text, kind) pairs; the first kind given for a phrase holds."""
        phrases: dict[Phrase, tuple[str, str]] = {}
        for text, kind in entries:
            phrase = tuple(words(text))
            if phrase:
                phrases.setdefault(phrase, (kind, text))
        by_first: dict[str, list[tuple[Phrase, str, str]]] = {}
        for phrase, (kind, text) in sorted(phrases.items(), key=lambda entry: -len(entry[0])):
            by_first.setdefault(phrase[0], []).append((phrase, kind, text))
        return cls({first: tuple(found) for first, found in by_first.items()})

    def match(self, tokens: list[str], start: int) -> tuple[Phrase, str, str] | None:
        """Longest phrase that begins at ``start``."""
        for entry in self.by_first.get(tokens[start], ()):
            phrase = entry[0]
            if len(phrase) == 1 or tuple(tokens[start : start + len(phrase)]) == phrase:
                return entry
        return None


@dataclass(frozen=True)
class ItemLexicon:
    """Words of one item: phrases of its values and product words, single words of spaced scripts, true promises."""

    phrases: PhraseIndex
    single: frozenset[str]
    kept: frozenset[str] = frozenset()

    @classmethod
    def of(cls, item: Item, heads: Iterable[str], kept: frozenset[str] = frozenset()) -> "ItemLexicon":
        """Lexicon of ``item``; ``heads`` are the bare product words of its category, ``kept`` its true promises."""
        claims = [name for name in item.fields if name not in ("locale", "category")]
        entries = [(value, name) for name in claims for value in item.fields[name]]
        entries += [(head, HEAD) for head in heads]
        entries += [(value, CATEGORY) for value in item.fields.get("category", ())]
        single = frozenset(word for text, _ in entries for word in words(text) if not is_cjk(word))
        return cls(PhraseIndex.of(entries), single, kept)


class Reader:
    """Reads titles of one locale.

    Parameters
    ----------
    spec
        The locale's catalogue: its generic words, and every value that some other item may have.
    """

    def __init__(self, spec: LocaleSpec) -> None:
        generic = [(text, PROMO) for text in spec.promo] + [(text, FUNCTION) for text in spec.function_words]
        self._generic = PhraseIndex.of(generic)
        self._promises = spec.promises
        self._generic_single = frozenset(
            word for text, _ in generic for word in words(text) if not is_cjk(word) and not word[0].isdigit()
        )
        values = [
            text
            for category in spec.categories
            for group in (category.heads, category.types, category.brands, (category.name,))
            for text in group
        ]
        values += [value for c in spec.categories for attribute in c.attributes for value in attribute.values]
        self._elsewhere = PhraseIndex.of((text, CLAIM) for text in values)
        self._elsewhere_single = frozenset(word for text in values for word in words(text) if not is_cjk(word))

    def read(self, lexicon: ItemLexicon, title: str) -> Reading:
        """Read ``title`` as one of the item of ``lexicon``; takes any text, the empty one too."""
        tokens = words(title)
        mentions: dict[tuple[str, str], Mention] = {}
        units: dict[tuple[str, str], int] = {}
        strangers: list[tuple[int, str]] = []
        promised: list[str] = []
        promo = fillers = filler_width = offset = start = 0
        while start < len(tokens):
            own = lexicon.phrases.match(tokens, start)
            generic = self._generic.match(tokens, start)
            found = generic if own is None or (generic is not None and len(generic[0]) > len(own[0])) else own
            if generic is not None and generic[2] in self._promises and own is not None and own[0] == generic[0]:
                found = generic  # services for the item are promised, not described
            length = 1
            if found is not None:
                phrase, kind, text = found
                length = len(phrase)
                unit = (kind, "") if kind == HEAD else (kind, text)
                promo += kind == PROMO
                if kind == PROMO and text in self._promises:
                    promised.append(text)
                fillers += kind == FUNCTION
                if kind != FUNCTION:
                    units[unit] = units.get(unit, 0) + 1
                if found is own and kind != CATEGORY and unit not in mentions:
                    mentions[unit] = Mention(kind, text, offset)
            elif tokens[start] in lexicon.single or tokens[start] in self._generic_single:
                unit = ("word", tokens[start])
                units[unit] = units.get(unit, 0) + 1
            else:
                strangers.append((start, tokens[start]))
            taken = sum(_token_width(token) for token in tokens[start : start + length])
            offset += taken
            if found is not None and found[1] == FUNCTION:
                filler_width += taken
            start += length
        claims, gibberish, unstated = self._read_strangers(strangers)
        shouting, symbols = _formatting(title)
        last_blank = int(bool(tokens) and not _is_cjk_word(tokens[-1]))
        return Reading(
            n_words=len(tokens),
            width=offset - last_blank,
            content_width=max(0, offset - filler_width - last_blank),
            mentions=tuple(mentions.values()),
            names_product=any(kind in (HEAD, CATEGORY) for kind, _ in units),
            promo=promo,
            fillers=fillers,
            repeats=sum(units.values()) - len(units),
            wrong_claims=claims,
            gibberish=gibberish,
            unstated=unstated,
            shouting=shouting,
            symbols=symbols,
            kept=sum(text in lexicon.kept for text in promised),
            broken=tuple(text for text in promised if text not in lexicon.kept),
        )

    def _read_strangers(self, strangers: list[tuple[int, str]]) -> tuple[int, int, tuple[str, ...]]:
        """Wrong claims, gibberish words, and all of them as text."""
        claims = gibberish = 0
        unstated: list[str] = []
        for _, group in groupby(enumerate(strangers), lambda entry: entry[1][0] - entry[0]):
            run = [token for _, (_, token) in group]
            for is_claim, piece in self._split_run(run):
                if is_claim:
                    claims += 1
                    unstated += ["".join(piece)] if any(map(_is_cjk_word, piece)) else piece
                else:
                    gibberish += (len(piece) + 1) // 2  # two Chinese characters weigh as one word
                    unstated.append("".join(piece))
        return claims, gibberish, tuple(unstated)

    def _split_run(self, run: list[str]) -> list[tuple[bool, list[str]]]:
        """Neighbouring strangers as claims (values of other items, numbers) and gibberish (Chinese in one piece)."""
        pieces: list[tuple[bool, list[str]]] = []
        start = 0
        while start < len(run):
            found = self._elsewhere.match(run, start)
            length = len(found[0]) if found else 1
            token = run[start]
            claim = found is not None or token[0].isdigit() or token in self._elsewhere_single
            piece = run[start : start + length]
            if not claim and pieces and not pieces[-1][0] and _is_cjk_word(token) and _is_cjk_word(pieces[-1][1][-1]):
                pieces[-1][1].append(token)
            else:
                pieces.append((claim, piece))
            start += length
        return pieces


@lru_cache
def reader(locale: str) -> Reader:
    """The reader of ``locale``, built once."""
    return Reader(load_locale(locale))


_FREE_SYMBOLS = 5
_SEPARATORS = frozenset(" ,|-/.&'’·()（），、。+%$¥￥:：!！")


def _formatting(title: str) -> tuple[int, int]:
    """Shouted words, and symbols past the first five (foreign symbols and doubled marks count at once)."""
    shouting = sum(len(word) >= 4 and word.isupper() and word.isascii() and word.isalpha() for word in title.split())
    marks = foreign = 0
    previous = ""
    for char in title:
        if not char.isalnum() and char != " ":
            marks += 1
            foreign += char not in _SEPARATORS or (char == previous and char in "!！,，|.")
        previous = char
    return shouting, foreign + max(0, marks - foreign - _FREE_SYMBOLS)


@lru_cache(maxsize=100_000)
def _is_cjk_word(token: str) -> bool:
    return len(token) == 1 and is_cjk(token)


@lru_cache(maxsize=100_000)
def _token_width(token: str) -> int:
    """Columns a word takes in a title, with the blank after it in spaced scripts."""
    return 2 if _is_cjk_word(token) else display_width(token) + 1
