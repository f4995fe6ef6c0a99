"""Which words of a text a search finds it by."""

from collections import Counter
from itertools import islice

from store.events import Words
from store.terms import spoken_words, term_of


def words_of(text: str, most: int | None = None) -> Words:
    """The words of a text, of a stored one as of a query: without case, stemmed as English.

    Text of scripts without spaces counts as its pairs of neighbouring characters. `most` takes the first distinct
    words only.
    """
    counted = Counter(map(term_of, spoken_words(text)))
    terms = sorted(islice(counted, most))
    return Words(tuple(terms), tuple(counted[term] for term in terms))
