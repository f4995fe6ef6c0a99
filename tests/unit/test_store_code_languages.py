"""What languages are called, by those who ask for their chunks."""

import re
from pathlib import Path

from store.code.languages import LANGUAGE_NAMES, LANGUAGES, languages_called
from store.code.languages.plain import PLAIN_LANGUAGES

PROTO = Path(__file__).parents[2] / "protos/trimem/store/v1/code_service.proto"


def test_a_language_is_known_by_its_name_and_by_what_people_call_it() -> None:
    for name in (*(language.name for language in LANGUAGES), *PLAIN_LANGUAGES.values(), "text"):
        assert name in languages_called(name)
    for called, names in (
        ("typescript", {"typescript", "tsx"}),
        ("ts", {"typescript", "tsx"}),
        ("tsx", {"tsx"}),
        ("js", {"javascript"}),
        ("Python", {"python"}),
        ("py", {"python"}),
        ("C++", {"cpp"}),
        ("cpp", {"cpp"}),
        ("c", {"c"}),
        ("rs", {"rust"}),
        ("golang", {"go"}),
    ):
        assert languages_called(called) == names, called
    for unknown in ("", "pythn", "*", "py ", "\x00", ".py"):
        assert not languages_called(unknown)


def test_the_reference_lists_what_there_is_and_nothing_else() -> None:
    [said] = re.findall(r"// Only these languages,(.*?)repeated string languages", PROTO.read_text(), re.DOTALL)
    names = set(re.findall(r"`([^`]+)`", said))
    assert names >= set(LANGUAGE_NAMES)
    assert all(languages_called(name) for name in names)
