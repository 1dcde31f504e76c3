"""The shop's facts: what holds for which items, what follows from it, and files that are wrong or mean harm."""

import time
from pathlib import Path

import pytest

from reward.features.facts import FIELD, Facts, FactsError
from reward.features.lexicon import Lexicon
from reward.features.promises import PromiseList
from reward.features.selectors import Selector, parse
from reward.items import Item

FILE = """
facts:
  - say: free shipping
    where: {price: ">= 35"}
  - say: [两年质保, 2 year warranty]
    where: {category: [Lamps, 灯具], brand: Acme}
  - gift wrapping included
synonyms:
  - [sofa, couch, settee]
implies:
  silk: [silky, natural fibre]
  silky: smooth
  真丝: [丝滑]
never:
  - miracle
  - say: [waterproof, 防水]
    where: {material: silk}
"""


def written(tmp_path: Path, text: str = FILE) -> Path:
    path = tmp_path / "facts.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def item(**fields: str) -> Item:
    return Item("1", {name: (value,) for name, value in fields.items()})


def says(facts: Facts, one: Item) -> set[str]:
    return set(facts.widened(one).fields.get(FIELD, ()))


def test_facts_hold_for_the_items_they_name(tmp_path: Path) -> None:
    facts = Facts.read(written(tmp_path))
    assert says(facts, item(price="$35.00")) == {"free shipping", "gift wrapping included"}
    assert says(facts, item(price="34.99")) == {"gift wrapping included"}
    assert says(facts, item(Category="lamps", brand="ACME")) == {
        "两年质保",
        "2 year warranty",
        "gift wrapping included",
    }
    assert says(facts, item(category="Lamps", brand="Bolt")) == {"gift wrapping included"}
    assert facts.fields == {"price", "category", "brand", "material"}


def test_what_follows_from_a_field_follows_on(tmp_path: Path) -> None:
    facts = Facts.read(written(tmp_path))
    assert says(facts, item(material="Pure Silk")) >= {"silky", "natural fibre", "smooth"}
    assert says(facts, item(材质="真丝")) >= {"丝滑"}
    assert says(facts, item(type="Couch")) >= {"sofa", "settee"}
    assert "silky" not in says(facts, item(material="Silkworm"))


def test_what_must_never_be_said_is_found(tmp_path: Path) -> None:
    facts = Facts.read(written(tmp_path))
    silk, wool = item(material="silk"), item(material="wool")
    assert facts.forbidden(silk, "A Miracle: waterproof 防水 scarf") == ["miracle", "waterproof", "防水"]
    assert facts.forbidden(wool, "Waterproof scarf") == []


def test_every_claim_rule_knows_the_facts(tmp_path: Path) -> None:
    facts = Facts.read(written(tmp_path))
    shop = [item(material=m, price=p) for m in ("silk", "wool", "felt", "hemp") for p in ("10", "50")]
    shop = [Item(str(i), one.fields) for i, one in enumerate(shop)]
    pairs = [(one, f"{one.fields['material'][0]} scarf") for one in shop]
    lexicon = Lexicon.learn(pairs, PromiseList.shipped(), facts)
    title = "silky smooth scarf, gift wrapping included, Ships Free"
    assert lexicon.unstated(shop[1], title) == ()
    assert lexicon.unstated_words(shop[0], title) == ("ships free",)
    assert lexicon.unstated_words(shop[3], title)[:2] == ("silky", "smooth")


def test_an_item_that_nothing_is_said_of_stays_itself(tmp_path: Path) -> None:
    plain = item(material="wool")
    assert Facts().widened(plain) is plain
    assert Facts.read(written(tmp_path, "implies: {silk: silky}")).widened(plain) is plain
    assert not Facts.read(written(tmp_path, ""))


@pytest.mark.parametrize(
    ("condition", "value", "holds"),
    [
        (">= 35", "$1,299.00", True),
        ("> 35", "35", False),
        ("< 35", "34.9 EUR", True),
        ("<= 35", "¥35", True),
        ("10..20", "20", True),
        ("10..20", "20.5", False),
        (35, "35.00", True),
        (35, "36", False),
        ("red", "RED ", True),
        ("red", "dark red", False),
        (["red", "blue"], "Blue", True),
        ("*", "anything", True),
        (True, "Yes", True),
        (True, "no", False),
        (False, "否", True),
        (">= 35", "none", False),
        ("连衣裙", "连衣裙", True),
        ([">= 100", "free"], "free", True),
        (">= 35", "35,50", True),
        (">= 1", "2024.05.01", False),
    ],
)
def test_conditions(condition: object, value: str, holds: bool) -> None:
    selector = Selector.of({"field": parse(condition)})
    assert selector.holds(item(Field=value)) is holds
    assert not selector.holds(item(other=value))


def test_one_of_several_values_is_enough() -> None:
    several = Item("1", {"tag": ("a", "b"), "Tag ": ("c",)})
    assert Selector.of({"tag": parse("b")}).holds(several)
    assert Selector.of({"tag": parse("c")}).holds(several)
    assert Selector.of({}).holds(Item("2"))


BAD = {
    "a list": ("- a", "the file"),
    "an unknown key": ("fact: []", "fact: Extra inputs"),
    "an unknown key of an entry": ("facts: [{says: a}]", "facts.0"),
    "no saying": ("facts: [{where: {a: b}}]", "facts.0.say"),
    "an empty saying": ("facts: ['']", "facts.0.say"),
    "a saying without words": ("never: ['★★']", "at least one word"),
    "a number for a saying": ("facts: [5]", "facts.0"),
    "a mapping for a condition": ("facts: [{say: a, where: {price: {min: 3}}}]", "a comparison such as '>= 35'"),
    "half a comparison": ("facts: [{say: a, where: {price: '>= x'}}]", "a sign and a number"),
    "a range the wrong way": ("facts: [{say: a, where: {price: '9..3'}}]", "from the lower"),
    "an infinite number": ("facts: [{say: a, where: {price: .inf}}]", "finite"),
    "a condition of nothing": ("facts: [{say: a, where: {price: []}}]", "a condition is"),
    "a synonym of none": ("synonyms: [[sofa]]", "synonyms.0"),
    "no YAML": ("facts: [", "cannot be read"),
    "a key twice": ("facts: []\nfacts: [a]", "'facts' a second time in line 2"),
    "an alias": ("never: &a [x]\nfacts: *a", "an alias"),
    "a tag": ("facts: !!python/object/apply:os.system ['true']", "cannot be read"),
    "deep brackets": ("facts: " + "[" * 100_000, "nested more than"),
    "deep dashes": ("facts:\n " + "- " * 50_000 + "a", "nested more than"),
    "a long saying": (f"facts: ['{'a' * 300}']", "at most 200"),
    "a long number": ("facts: [{say: a, where: {p: " + "9" * 5000 + "}}]", ""),
    "control characters": ("facts: ['a\x00b']", "cannot be read"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_one_clear_line(tmp_path: Path, case: str) -> None:
    text, message = BAD[case]
    path = written(tmp_path, text)
    with pytest.raises(FactsError) as error:
        Facts.read(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_are_not_there_or_no_text(tmp_path: Path) -> None:
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00a")
    (tmp_path / "large.yaml").write_bytes(b"# " + b"a" * 5_000_001)
    for name in ("missing.yaml", "bytes.yaml", "large.yaml", "."):
        with pytest.raises(FactsError):
            Facts.read(tmp_path / name)


def test_a_hundred_thousand_entries_are_no_trouble(tmp_path: Path) -> None:
    lines = [
        "never:",
        *(f"- taboo {i}" for i in range(20_000)),
        "implies:",
        *(f"  word{i}: word{i + 1}" for i in range(50_000)),
    ]
    facts = Facts.read(written(tmp_path, "\n".join(lines)))
    began = time.process_time()
    assert len(says(facts, item(a="word0"))) == 50_000  # a chain of all
    assert facts.forbidden(item(a="b"), "a taboo 19999 here") == ["taboo 19999"]
    assert time.process_time() - began < 20


def test_a_circle_of_implications_ends(tmp_path: Path) -> None:
    facts = Facts.read(written(tmp_path, "implies: {a: b, b: [c, a], c: a}\nsynonyms: [[a, d], [d, e]]"))
    assert says(facts, item(x="b")) == {"a", "b", "c", "d", "e"}
