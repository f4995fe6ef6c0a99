"""Java is cut into chunks along its definitions: a golden test of boundaries, names and nesting."""

from store.code.source import CutMethod
from tests.code_files import assert_whole, chunks_of, source, symbol, symbols_of

FILE = assert_whole("Ledger.java", source("Ledger.java"))


def test_the_file_is_cut_along_its_syntax() -> None:
    assert (FILE.language, FILE.method, FILE.note) == ("java", CutMethod.SYNTAX, "")


def test_chunks_are_definitions_parts_of_large_ones_and_small_neighbours_together() -> None:
    assert chunks_of(FILE) == [
        "1-6 MODULE -",
        "8-32 CLASS Ledger: Ledger NEWEST Ledger",
        "34-53 METHOD Ledger.move: move",
        "55-76 METHOD Ledger.iterator: iterator close Entry Entry compareTo",
        (
            "78-109 CLASS Ledger.State: State CLOSED isFinal isFinal Listener onMoved name Audited value "
            "NotEnough NotEnough"
        ),
    ]


def test_definitions_have_names_nesting_and_parameters() -> None:
    assert symbols_of(FILE) == [
        "8-109 CLASS - Ledger()",
        "17-17 METHOD Ledger NEWEST(left, right)",
        "26-32 METHOD Ledger Ledger(accounts)",
        "34-53 METHOD Ledger move(from, to, amounts)",
        "55-58 METHOD Ledger iterator()",
        "60-63 METHOD Ledger close()",
        "65-76 CLASS Ledger Entry(from, to, amount, at)",
        "66-70 METHOD Ledger.Entry Entry()",
        "72-75 METHOD Ledger.Entry compareTo(other)",
        "78-90 CLASS Ledger State()",
        "80-85 CLASS Ledger.State CLOSED()",
        "81-84 METHOD Ledger.State.CLOSED isFinal()",
        "87-89 METHOD Ledger.State isFinal()",
        "92-98 CLASS Ledger Listener()",
        "93-93 METHOD Ledger.Listener onMoved(entry)",
        "95-97 METHOD Ledger.Listener name()",
        "100-102 CLASS Ledger Audited()",
        "101-101 METHOD Ledger.Audited value()",
        "104-108 CLASS Ledger NotEnough()",
        "105-107 METHOD Ledger.NotEnough NotEnough(account, amount)",
    ]


def test_what_a_definition_says_about_itself() -> None:
    ledger = symbol(FILE, "Ledger")
    assert ledger.signature == (
        "public final class Ledger<T extends Account> extends Base<T> implements Iterable<T>, AutoCloseable"
    )
    assert ledger.docstring == "Accounts and what moves between them.\n\n@since 1.0"
    assert ledger.decorators == ("Service", 'SuppressWarnings("unchecked")')
    assert ledger.bases == ("Base<T>", "Iterable<T>", "AutoCloseable")
    move = symbol(FILE, "Ledger.move")
    assert move.decorators == ("Transactional(readOnly = false)",)
    assert move.signature.startswith("public Entry move(@NonNull String from,")
    assert move.docstring == "Moves money.\n\n@throws NotEnough when there is not enough"
