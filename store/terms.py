"""Words as numbers: what searches by words compare, of texts and of code."""

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

import Stemmer

#: Characters of one word; what comes behind them (a key, a picture as text) tells no two texts apart.
LONGEST_WORD = 64

#: Words that are remembered with their terms: most words of a language.
_REMEMBERED = 1 << 16

# Han, kana, Hangul, Bopomofo; Thai, Lao, Burmese, Khmer: written without spaces, or with spaces between phrases.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3100-\u318f\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)


def _marks() -> str:
    """Combining marks, which belong to the letter before them and which `\\w` leaves out, as a character class."""
    found = [code for code in range(0x300, 0x20000) if unicodedata.category(chr(code)) in ("Mn", "Mc")]
    return "".join(re.escape(chr(code)) for code in found)


# An underscore joins words; an apostrophe inside of a word belongs to it. Alternatives begin with different characters,
# so that no text makes the search go back and forth.
_WORD = re.compile(
    rf"(?P<unspaced>[{_UNSPACED}]+)|(?:(?![_{_UNSPACED}])[\w{_marks()}])+(?:['\u2019](?:(?![_{_UNSPACED}])[\w])+)*"
)

# The same for text without any of these, much sooner.
_ASCII_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*", re.ASCII)

# Without a memory of its own, which would not be safe to share between threads.
_STEMMER = Stemmer.Stemmer("english", 0)


def spoken_words(text: str) -> Iterator[str]:
    """The words of a text in their order, as they are written; of scripts without spaces, pairs of characters."""
    if text.isascii():
        yield from _ASCII_WORD.findall(text)
        return
    for found in _WORD.finditer(text):
        run = found[0]
        if found["unspaced"] is None:
            yield run
        else:
            for start in range(max(1, len(run) - 1)):
                yield run[start : start + 2]


def term_of(word: str) -> int:
    """A word as a number: without case, stemmed as English."""
    return _term(word[:LONGEST_WORD])


def folded(word: str) -> str:
    """A word without case. Not for a whole text: of a long one, that takes its square in the worst case."""
    return word.lower() if word.isascii() else unicodedata.normalize("NFKC", word).casefold()


@lru_cache(_REMEMBERED)
def _term(word: str) -> int:
    stem = _STEMMER.stemWord(folded(word).replace("\u2019", "'"))
    return int.from_bytes(hashlib.blake2b(stem.encode("utf-8", "replace"), digest_size=8).digest(), signed=True)
