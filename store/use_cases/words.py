"""Which words of a text a search finds it by."""

import hashlib
import re
from collections import Counter

from store.events import Words

_WORD = re.compile(r"\w+")


def words_of(text: str) -> Words:
    """The words of a text, of a stored one as of a query."""
    counted = Counter(_term(word) for word in _WORD.findall(text.casefold()))
    terms = sorted(counted)
    return Words(tuple(terms), tuple(counted[term] for term in terms))


def _term(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), signed=True)
