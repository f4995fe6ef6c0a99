"""TSX is cut into chunks along its definitions: a golden test of boundaries, names and nesting."""

from store.code.cutting import cut
from store.code.source import CutMethod
from tests.code_files import assert_whole, chunks_of, source, symbol, symbols_of

FILE = assert_whole("panel.tsx", source("panel.tsx"))


def test_the_file_is_cut_along_its_syntax() -> None:
    assert (FILE.language, FILE.method, FILE.note) == ("tsx", CutMethod.SYNTAX, "")


def test_chunks_are_definitions_parts_of_large_ones_and_small_neighbours_together() -> None:
    assert chunks_of(FILE) == [
        "1-4 MODULE -",
        "6-27 CLASS ListProps: ListProps onPick Loaded Tab Upload",
        "29-36 FUNCTION useStore: useStore",
        "38-58 FUNCTION useLoaded: useLoaded run isOurs",
        "60-70 FUNCTION List: List",
        "72-88 FUNCTION SearchField: SearchField onSubmit",
        "90-99 FUNCTION Row: Row BoundaryState",
        "101-129 CLASS Boundary: Boundary getDerivedStateFromError componentDidCatch retry render",
        "131-157 FUNCTION Panel: Panel load onClear",
    ]


def test_definitions_have_names_nesting_and_parameters() -> None:
    assert symbols_of(FILE) == [
        "6-11 CLASS - ListProps()",
        "10-10 METHOD ListProps onPick(item)",
        "13-13 CLASS - Loaded()",
        "15-18 CLASS - Tab()",
        "22-27 CLASS - Upload()",
        "29-36 FUNCTION - useStore()",
        "38-58 FUNCTION - useLoaded(key, load)",
        "45-53 FUNCTION useLoaded run()",
        "50-50 FUNCTION useLoaded.run isOurs(one)",
        "60-70 FUNCTION - List(items, render, onPick)",
        "72-88 FUNCTION - SearchField(label, onSearch, ref)",
        "76-79 FUNCTION SearchField onSubmit(event)",
        "90-95 FUNCTION - Row(upload)",
        "97-99 CLASS - BoundaryState()",
        "101-129 CLASS - Boundary()",
        "106-108 METHOD Boundary getDerivedStateFromError(error)",
        "110-112 METHOD Boundary componentDidCatch(error, info)",
        "114-116 METHOD Boundary retry()",
        "118-128 METHOD Boundary render()",
        "131-155 FUNCTION - Panel(owner, field)",
        "135-135 FUNCTION Panel load(key)",
        "137-139 FUNCTION Panel onClear()",
    ]


def test_what_a_component_says_about_itself() -> None:
    assert symbol(FILE, "Panel").docstring == "A panel that shows what is in a store."
    assert symbol(FILE, "List").signature == (
        "export function List<T extends { id: string }>({ items, render, onPick }: ListProps<T>)"
    )
    assert symbol(FILE, "SearchField").docstring == "A field that its parent may focus."
    assert symbol(FILE, "Row").signature == "const Row = memo(({ upload }: { upload: Upload }) =>"
    assert symbol(FILE, "Boundary").bases == ("Component",)
    assert symbol(FILE, "ListProps").docstring == "What a panel shows, and how."


def test_what_wraps_a_function_is_that_function_and_what_only_calls_it_is_none() -> None:
    file = cut(
        "wrapped.jsx",
        b"""const Card = React.memo(function Inner({ title }) { return title; }, areEqual);
const Both = memo(React.forwardRef((props, ref) => <b ref={ref} />));
const save = useCallback(async (event) => { event.save(); }, []);
const doubled = numbers.map((one) => 2 * one);
const total = useMemo(() => 1, []);
const Same = memo(Card);
const Alike = memo(Card, (one, other) => one === other);
export default memo(function Page({ id }) { return id; });
""",
    )
    assert symbols_of(file) == [
        "1-1 FUNCTION - Card(title)",
        "2-2 FUNCTION - Both(props, ref)",
        "3-3 FUNCTION - save(event)",
        "8-8 FUNCTION - default(id)",
    ]
