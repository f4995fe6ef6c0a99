"""What a starting store demands of its database, and where its migrations are."""

from pathlib import Path

import pytest

from store.errors import SchemaError
from store.migrate import head, migrations_folder
from store.schema import SchemaFacts, dimension_warning, pgvector_warning, require_schema

GOOD = SchemaFacts(revision="0002", pgvector="0.8.6", dimension=384)


def demand(facts: SchemaFacts) -> None:
    """What the store does at its start."""
    require_schema(facts, head="0002", dimension=384)


def test_a_good_database_is_taken_without_a_warning() -> None:
    demand(GOOD)
    assert pgvector_warning(GOOD) is None
    assert pgvector_warning(SchemaFacts("0002", "0.10.0", 384)) is None


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (SchemaFacts(None, None, None), "not set up.*python -m store migrate"),
        (SchemaFacts("0001", "0.8.6", 384), "at revision 0001.*needs revision 0002.*python -m store migrate"),
        (SchemaFacts("0003", "0.8.6", 384), "at revision 0003"),
        (SchemaFacts("0002", "0.7.4", 384), "pgvector 0.7.4"),
        (SchemaFacts("0002", None, 384), "pgvector not installed"),
        (SchemaFacts("0002", "0.8.6", 768), "768 dimensions.*EMBEDDING_DIMENSION is 384.*EMBEDDING_DIMENSION=768"),
        (SchemaFacts("0002", "0.8.6", -1), "no fixed dimension"),
    ],
)
def test_another_database_is_refused_with_what_to_do(facts: SchemaFacts, said: str) -> None:
    with pytest.raises(SchemaError, match=said):
        demand(facts)


def test_after_a_change_of_model_the_database_decides_about_the_dimension() -> None:
    changed = SchemaFacts("0002", "0.8.6", 768, recorded_dimension=768)

    demand(changed)

    assert "Set EMBEDDING_DIMENSION=768" in (dimension_warning(changed, 384) or "")
    assert dimension_warning(changed, 768) is None
    assert dimension_warning(GOOD, 384) is None


def test_a_pgvector_with_known_faults_gets_a_warning() -> None:
    facts = SchemaFacts("0002", "0.8.5", 384)

    demand(facts)

    assert "ALTER EXTENSION vector UPDATE" in (pgvector_warning(facts) or "")


def test_migrations_are_found_beside_the_package_and_inside_of_it(tmp_path: Path) -> None:
    package = tmp_path / "store"
    package.mkdir()
    with pytest.raises(SchemaError):
        migrations_folder(package)

    for folder in (tmp_path / "migrations", package / "_migrations"):  # a wheel has them inside
        folder.mkdir()
        (folder / "env.py").touch()
        assert migrations_folder(package) == folder


def test_there_is_one_newest_revision() -> None:
    files = Path(__file__).resolve().parents[2].joinpath("migrations", "versions").glob("*.py")

    assert head() == max(file.name[:4] for file in files)
