"""Times in words: names of months and weekdays in several languages, years of two digits, am and pm, 年月日.

They are rewritten, in SQL, to one spelling that ``strptime`` reads; an offset from UTC is taken off as a number.
"""

_MONTHS = {
    "jan": "january januar jänner jän janvier janv enero ene gennaio gen janeiro januari stycznia января янв",
    "feb": "february februar feber février févr fév febrero febbraio fevereiro fev februari lutego февраля фев",
    "mar": "march märz mär mrz mars marzo março maart mrt marca марта мар",
    "apr": "april avril avr abril abr aprile kwietnia апреля апр",
    "may": "mai mayo maggio mag maio mei maja мая май",
    "jun": "june juni juin junio giugno giu junho czerwca июня июн",
    "jul": "july juli juillet juil julio luglio lug julho lipca июля июл",
    "aug": "august août aout agosto ago augustus sierpnia августа авг",
    "sep": "september sept septembre septiembre settembre set setembro września сентября сен",
    "oct": "october oktober okt octobre octubre ottobre ott outubro out października октября окт",
    "nov": "november novembre noviembre novembro listopada ноября ноя",
    "dec": "december dezember dez décembre déc diciembre dic dicembre dezembro grudnia декабря дек",
}
_WEEKDAYS = (
    "monday tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thur thurs fri sat sun "
    "montag dienstag mittwoch donnerstag freitag samstag sonntag mo di mi do fr sa so "
    "lundi mardi mercredi jeudi vendredi samedi dimanche lun mer jeu ven sam dim "
    "lunes martes miércoles jueves viernes sábado domingo lunedì martedì mercoledì giovedì venerdì sabato domenica"
)
_ZONED = r"(?:gmt|utc)? ?([+-])([0-9]{2}):?([0-9]{2})$"
_END, _BEGIN = r"([^\pL]|$)", r"(^|[^\pL])"
_REWRITTEN = (
    (r"\[[a-z_]+/[a-z_/]+\]$", ""),
    (r"\(.*?\)|（.*?）|[\[\]]|星期.|周.", " "),  # weekdays and names of zones
    (r"\s+$", ""),
    (r"(:[0-9]{2}:[0-9]{2})[.,][0-9]+", r"\1"),  # fractions of seconds
    (rf"^\s*({'|'.join(_WEEKDAYS.split())})[.,]?\s+", ""),
    *((rf"{_BEGIN}({'|'.join(names.split())})\.?{_END}", rf"\1{month}\3") for month, names in _MONTHS.items()),
    (r"([0-9])(st|nd|rd|th|er|º|ª)([^\pL]|$)", r"\1\3"),
    (r"(上午|午前|오전)\s*([0-9:時时시分분秒초]+)", r"\2 am"),
    (r"(下午|午後|오후)\s*([0-9:時时시分분秒초]+)", r"\2 pm"),
    (r"([ap])\.\s?m\.?$", r"\1m"),
    (r"[年년月월]\s*", "-"),
    (r"[日일]\s*", " "),
    (r"[時时시分분]\s*", ":"),
    (r"秒|초|\buhr\b|\bde\b|,|\bat\b", " "),
    (r"([0-9]{4}):([0-9]{2}:)", r"\1 \2"),  # 01/mar/2026:10:00
    (r"([0-9])t([0-9])", r"\1 \2"),
    (r" ([0-9]{1,2})\.([0-9]{2})\.([0-9]{2})(\.[0-9]+)?", r" \1:\2:\3"),
    (r"([0-9])\.\s+", r"\1."),
    (rf"(:[0-9]{{2}}.*?){_ZONED}", r"\1"),
    (r"z$|\s(utc|gmt|ut)\s*$", ""),
    (r"\s(utc|gmt)\s", " "),
    (r"[-./ ]*(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[-./ ]*", r" \1 "),
    (r"[-.: ]+$|^[ ]+", ""),
    (r"\s+", " "),
)
_WIDE = ("０１２３４５６７８９：／．－　", "0123456789:/.- ")
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_DATES = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y-%m"),
    *("%d %b %Y", "%b %d %Y", "%Y %b %d", "%d %b %y"),
    *("%d.%m.%y", "%y.%m.%d", "%d/%m/%y", "%m/%d/%y", "%y/%m/%d", "%d-%m-%y", "%m-%d-%y", "%y-%m-%d"),
)
PATTERNS = (*(date + clock for date in _DATES for clock in _CLOCKS), "%b %Y", "%b %d %H:%M:%S %Y")
PATTERNS = (*PATTERNS, "%Y%m%d %H%M%S", "%Y%m%d %H%M")
"""Patterns of ``strptime`` for texts that `tidied` has rewritten."""
_UNCLEAR = "BST|CST|IST|SST|ECT|NST|GST|NET|MIT|PLT|PNT|PRT|VST|IET|CNT|CTT|EAT|CAT"  # codespell:ignore
UNCLEAR_ZONE = rf"[0-9] ?(?:A[A-Z]T|{_UNCLEAR})\s*$"
"""Regular expression of times with letters that mean several zones: CST is that of Chicago and of China."""


def _lower(value: str) -> str:
    return f"lower(translate(trim({value}), '{_WIDE[0]}', '{_WIDE[1]}'))"


def tidied(value: str) -> str:
    """SQL of the text ``value`` as `PATTERNS` read it, without its offset from UTC."""
    text = _lower(value)
    for pattern, replacement in _REWRITTEN:
        text = f"regexp_replace({text}, '{pattern}', '{replacement}', 'g')"
    return text


def offset(value: str) -> str:
    """SQL of the seconds that the text ``value`` is ahead of UTC; 0 where it does not say."""
    bare = rf"regexp_replace({_lower(value)}, '\s*(\(.*\)|\[.*/.*\]|\])$', '')"
    hours, minutes = (f"TRY_CAST(regexp_extract({bare}, '{_ZONED}', {group}) AS INTEGER)" for group in (2, 3))
    # A date such as 01-03-2026 ends like an offset, and has no clock before it.
    sign = rf"CASE regexp_extract({bare}, ':[0-9]{{2}}.*?{_ZONED}', 1) WHEN '+' THEN 1 WHEN '-' THEN -1 ELSE 0 END"
    return f"{sign} * coalesce({hours} * 3600 + {minutes} * 60, 0)"
