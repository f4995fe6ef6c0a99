"""The text of the demonstration: the language reference that every CPython carries for `help()`."""

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pydoc_data.topics import topics

#: Words at which a passage ends; a small model reads about three times as much.
MAX_WORDS = 50
#: Passages shorter than this go together with their neighbour.
MIN_WORDS = 15

_NAMESPACE = uuid.UUID("6f2b6c3e-0c5b-5d0e-9f0c-0d9f6a1b7c52")


@dataclass(frozen=True, slots=True)
class Passage:
    """Some paragraphs of one topic."""

    topic: str
    #: Heading of the section that it begins in.
    section: str
    position: int
    text: str

    @property
    def title(self) -> str:
        """Where it stands, in words: read by the model together with the text, which often does not repeat it."""
        return self.topic if self.section == self.topic else f"{self.topic}: {self.section}"

    @property
    def id(self) -> str:
        """The same for the same passage in every run, so that importing twice stores once."""
        return str(uuid.uuid5(_NAMESPACE, f"{self.topic}\0{self.position}\0{self.text}"))


def passages() -> list[Passage]:
    """All passages, in the order of their topics; over a thousand.

    Long topics repeat short ones word for word: "compound" has all of "with", "try" and "for". A passage belongs to
    the shortest topic that it stands in.
    """
    unique: dict[str, Passage] = {}
    for topic in sorted(topics, key=lambda name: (len(topics[name]), name)):
        for passage in _cut(topic, topics[topic]):
            unique.setdefault(passage.text, passage)
    return sorted(unique.values(), key=lambda passage: (passage.topic, passage.position))


def source() -> str:
    """What the text is, for a person."""
    import platform

    return f"the Python {platform.python_version()} language reference (pydoc_data.topics)"


def _cut(topic: str, text: str) -> Iterator[Passage]:
    """Cut a topic at its blank lines and join paragraphs up to MAX_WORDS; a heading starts a new passage."""
    section, position = topic, 0
    current: list[str] = []

    def flush() -> Iterator[Passage]:
        nonlocal position
        if current:
            yield Passage(topic, section, position, "\n\n".join(current))
            position += 1
            current.clear()

    for paragraph in _paragraphs(text):
        if heading := _heading(paragraph):
            if _words(current) >= MIN_WORDS:
                yield from flush()
            section = heading
            current.append(heading)
            continue
        if current and _words(current) + len(paragraph.split()) > MAX_WORDS and _words(current) >= MIN_WORDS:
            yield from flush()
        current.append(paragraph)
    yield from flush()


def _paragraphs(text: str) -> list[str]:
    """The paragraphs of a text; one longer than two passages (a grammar, a table) is cut between its lines."""
    cut: list[str] = []
    for paragraph in (part.strip("\n") for part in re.split(r"\n\s*\n", text) if part.strip()):
        lines: list[str] = []
        for line in paragraph.splitlines():
            if lines and _words([*lines, line]) > 2 * MAX_WORDS:
                cut.append("\n".join(lines))
                lines = []
            lines.append(line)
        cut.append("\n".join(lines))
    return cut


def _heading(paragraph: str) -> str | None:
    """The title, when the paragraph is one underlined with stars, equals signs, dashes or tildes."""
    lines = paragraph.splitlines()
    if len(lines) == 2 and re.fullmatch(r"([*=\-~^])\1{2,}", lines[1].strip()):
        return lines[0].strip()
    return None


def _words(parts: list[str]) -> int:
    return sum(len(part.split()) for part in parts)
