"""TypeScript is cut into chunks along its definitions: a golden test of boundaries, names and nesting."""

from store.code.source import CutMethod
from tests.code_files import assert_whole, chunks_of, source, symbol, symbols_of

FILE = assert_whole("store.ts", source("store.ts"))


def test_the_file_is_cut_along_its_syntax() -> None:
    assert (FILE.language, FILE.method, FILE.note) == ("typescript", CutMethod.SYNTAX, "")


def test_chunks_are_definitions_parts_of_large_ones_and_small_neighbours_together() -> None:
    assert chunks_of(FILE) == [
        "1-35 CLASS Key: Key Entry touch Policy parse parse parse Base evict constructor",
        "37-97 CLASS Store: Store get set touch evict getOrLoad iterator] dispose]",
        "99-111 CLASS Stores.Shared: Shared named node:events once default",
    ]


def test_definitions_have_names_nesting_and_parameters() -> None:
    assert symbols_of(FILE) == [
        "4-4 CLASS - Key()",
        "6-11 CLASS - Entry()",
        "10-10 METHOD Entry touch(at)",
        "13-16 CLASS - Policy()",
        "18-18 FUNCTION - parse(text)",
        "19-19 FUNCTION - parse(text, strict)",
        "20-26 FUNCTION - parse(text, strict)",
        "28-35 CLASS - Base()",
        "29-29 METHOD Base evict(count)",
        "31-34 METHOD Base constructor(clock, limit)",
        "37-97 CLASS - Store()",
        "45-59 METHOD Store get(key)",
        "61-66 METHOD Store set(key, value, expires)",
        "65-65 FUNCTION Store.set touch(at)",
        "68-74 METHOD Store evict(count)",
        "76-84 METHOD Store getOrLoad(this, key, load)",
        "86-90 METHOD Store [Symbol.iterator]()",
        "92-96 METHOD Store [Symbol.dispose]()",
        "99-105 CLASS Stores Shared()",
        "102-104 FUNCTION Stores.Shared named(name)",
        "107-109 CLASS - node:events()",
        "108-108 FUNCTION node:events once(emitter, name)",
        "111-111 FUNCTION - default(clock)",
    ]


def test_what_a_definition_says_about_itself() -> None:
    store = symbol(FILE, "Store")
    assert store.signature == (
        "export class Store<K extends Key, T> extends Base<T> implements Iterable<T>, Disposable"
    )
    assert store.docstring == "Keeps values until there are too many."
    assert store.decorators == ('Injectable({ scope: "root" })',)
    assert store.bases == ("Base", "Iterable<T>", "Disposable")
    assert symbol(FILE, "Store.get").decorators == ('Log("debug")',)
    assert symbol(FILE, "Store.get").signature == "public get(key: K): T | undefined"
    assert symbol(FILE, "Entry").bases == ("Timed",)
