"""Made-up values: plain ones, and every kind of string and time that has broken an export somewhere.

All derive from one seeded random generator and one fixed day, never from the clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone
from random import Random
from typing import TypeVar

T = TypeVar("T")

FIRST_DAY = datetime(2019, 1, 1, 8, 30, 0, 123456, tzinfo=timezone.utc)

NASTY = (
    "She said \"yes\", 'no' and `maybe`",
    "back\\slash, \\\\two, \\n no newline, C:\\temp\\new",
    "line one\nline two\r\nline three\rline four",
    "tab\there, vertical\x0btab, form\x0cfeed, bell\x07, escape\x1b[31mred\x1b[0m, delete\x7f",
    "\x01\x02\x03\x04\x05\x06\x08\x0e\x0f\x10\x11\x1a\x1c\x1f",
    "line\u2028separator and paragraph\u2029separator, next\x85line, \ufeffBOM, zero\u200bwidth",
    "<script>alert('&amp;')</script> & <b>bold</b> </",
    "literal \\u0000 and \\u003c, \\x00, %00, \\N",
    '=HYPERLINK("http://example.com") +1 -1 @sum',
    "🚀 👩\u200d👩\u200d👧\u200d👦 \u2764\ufe0f 🇺🇳 \U0001d4b3\U0001d4ce\U0001d4cf 𠜎",
    "مرحبا بالعالم \u202eright to left\u202c שלום",
    "e\u0301 versus é, Z\u0351\u036b\u0343\u036aa\u0342\u036bl\u0308go\u0313",
    "日本語 中文 한국어 ไทย हिन्दी Ελληνικά Кириллица ß İı ﬁ",
    "'; DROP TABLE issues; -- $1 %s {} {{ }} $$ :name ?",
    "null",
    '{"json": [1, 2.50, null], "nested": "\\"quoted\\""}',
    " leading and trailing space ",
    "\U0010ffff\ufffe\ufdd0 noncharacters and \ue000 private use",
)

STORY = (
    "the export of a project stops when its pipeline waits for an answer that never came and nobody saw why until"
    " someone looked at the log of the worker which had been killed for its memory so we split the relation into parts"
    " and each part is read in one snapshot written once and merged without being packed again"
)
WORDS = STORY.split()

UNUSUAL_PATHS = ("docs/ünï cödé/“quoted”.md", "a\\b/c'd\"e.txt", "emoji/🚀.rb", "-rf/..hidden", "日本/語.py")
UNUSUAL_NAMES = (
    "日本語 中文 한국어",
    "zażółć “gęślą” jaźń",
    "🚀 launch & 'land'",
    "Ελληνικά: Кириллица",
    "naïve #1 \\o/",
)
EMOJI = ("thumbsup", "thumbsdown", "tada", "heart", "rocket", "eyes", "100", "sparkles")
SHORT = 255
"""Maximum number of characters of a title or a summary in GitLab."""
BLANKS = " \t\n\v\f\r\0"
"""What Ruby's String#strip removes."""


class Values:
    """A stream of made-up values; the same seed gives the same stream.

    generous: omit nothing, so that the first records of a project have every value and everything nested.
    """

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.generous = False
        self._texts = 0
        self._bodies = 0
        self._paragraphs = [self._sentence() for _ in range(200)]

    def _sentence(self) -> str:
        return " ".join(self.random.choices(WORDS, k=self.random.randint(4, 60))).capitalize() + "."

    def text(self) -> str:
        """Return some sentences; every fourth text has something nasty, every 700th has about 60,000 characters."""
        self._bodies += 1
        if self._bodies % 700 == 100:
            return "\n\n".join(self._paragraphs) + NASTY[9] + "x" * 30_000
        return self._prose()

    def paragraph(self) -> str:
        """Return a sentence of at most 500 characters without anything nasty."""
        return self.random.choice(self._paragraphs)[:500]

    def summary(self) -> str:
        """Return a text of at most 255 characters, nasty every fourth time."""
        return self._prose()[:SHORT]

    def _prose(self) -> str:
        self._texts += 1
        paragraph = self.random.choice(self._paragraphs)
        if self._texts % 4 == 0:
            return f"{paragraph}\n\n{NASTY[self._texts // 4 % len(NASTY)]}"
        return paragraph

    def title(self) -> str:
        """Return a short text, nasty every fifth time; GitLab strips white space from titles before it stores them."""
        self._texts += 1
        if self._texts % 5 == 0:
            return NASTY[self._texts // 5 % len(NASTY)].strip(BLANKS)
        return " ".join(self.random.choices(WORDS, k=4)).capitalize()

    def name(self) -> str:
        """Return a short text that GitLab accepts for a label or a milestone: no comma, tag or control character."""
        self._texts += 1
        if self._texts % 5 == 0:
            return UNUSUAL_NAMES[self._texts // 5 % len(UNUSUAL_NAMES)]
        return " ".join(self.random.choices(WORDS, k=4)).capitalize()

    def branch(self, number: int) -> str:
        """Return a name that Git accepts for a branch, a different one for each number."""
        words = "-".join(self.random.choices(WORDS, k=3))
        return f"feature/{number}-{words}" + ("", "-“ü”-<b>&'c'-🚀")[number % 3 == 0]

    def maybe(self, value: T, chance: float = 0.5) -> T | None:
        """Return the value with this probability, else None."""
        return value if self.generous or self.random.random() < chance else None

    def pick(self, options: Sequence[T]) -> T:
        """Return one of the options."""
        return self.random.choice(options)

    def few(self, options: Sequence[T], most: int) -> list[T]:
        """Return up to `most` different options; if generous, `most` including the first and the last."""
        most = min(most, len(options))
        if self.generous:
            return [*options[: most - 1], options[-1]]
        return self.random.sample(options, self.random.randint(0, most))

    def tail(self, mean: float, most: int = 500) -> int:
        """Return a count with a heavy tail: mostly 0 or a few, sometimes very many."""
        return min(most, int(mean * (self.random.paretovariate(1.25) - 1)))

    def at(self, number: int) -> datetime:
        """Return when the number-th event happened; sometimes two happen in the same microsecond."""
        moment = FIRST_DAY + timedelta(minutes=10 * number)
        return moment if number % 9 < 2 else moment + timedelta(microseconds=self.random.randrange(600_000_000))

    def after(self, moment: datetime) -> datetime:
        """Return a moment up to thirty days later, sometimes without a fraction of a second."""
        later = moment + timedelta(microseconds=self.random.randrange(30 * 86_400_000_000))
        return later.replace(microsecond=0) if self.random.random() < 0.05 else later

    def day_after(self, moment: datetime) -> date:
        """Return a day up to thirty days later."""
        return (moment + timedelta(days=self.random.randint(1, 30))).date()

    def nonce(self) -> str:
        """Return 40 hex digits that nothing else has, to make a commit from."""
        return f"{self.random.getrandbits(160):040x}"

    def sha(self) -> str:
        """Return a SHA-1 of something that is not in a repository, such as a discussion."""
        return self.nonce()

    def sha_bytes(self) -> bytes:
        """Return a SHA-1 of something that is not in a repository, as GitLab's bytea columns store it."""
        return self.random.getrandbits(160).to_bytes(20, "big")

    def path(self) -> str:
        """Return the path of a file in a repository, an unusual one every eighth time."""
        if self.random.random() < 0.125:
            return self.pick(UNUSUAL_PATHS)
        return f"{self.pick(('lib', 'app/models', 'spec', 'docs'))}/{self.pick(WORDS)}_{self.random.randrange(100)}.rb"

    def patch(self) -> str:
        """Return the hunks of a unified diff."""
        lines = [self.random.choice((" ", "-", "+")) + self.random.choice(self._paragraphs)[:60] for _ in range(6)]
        return f"@@ -1,6 +1,6 @@ def {self.pick(WORDS)}\n" + "\n".join(lines) + "\n"
