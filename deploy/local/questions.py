"""What the demonstration asks, and which topic of the language reference has the answer."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """A question in a person's words; the expected topic must be among the first three hits."""

    text: str
    topic: str
    #: Ask within these metadata only.
    only: tuple[tuple[str, str], ...] = ()


QUESTIONS = (
    Question("how do I make sure a file gets closed even if something fails?", "try"),
    Question("what happens when I divide a number by zero?", "binary"),
    Question("why does my default list argument remember old values?", "function"),
    Question("how can I change a global variable from inside a function?", "global"),
    Question("how do I stop a loop early?", "break"),
    Question("how do I wait for a result in asynchronous code?", "async"),
    Question("how are objects destroyed and when is memory freed?", "objects"),
    Question("how do I show a number with two decimals inside a string?", "formatstrings"),
    # The same words as above find something else when the search stays within one topic.
    Question("how do I stop a loop early?", "for", only=(("topic", "for"),)),
)

#: Hits among which the expected topic must be.
FIRST = 3
