"""The schema of the tables: what is documented, and that it stays as it is.

`python tests/tables/test_schema.py` writes the golden file; a change that is not an addition at a table's end needs a
new name of the schema.
"""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from dlmtrace.tables import schema
from dlmtrace.tables.arrow import arrow_schema
from dlmtrace.tables.schema import TABLES, Column
from dlmtrace.wire.columns import HEADER, LOCK, MESSAGE, OPTIONS, RECOVERY

GOLDEN = Path(__file__).parent / "golden" / "schema.txt"


def declared() -> Iterator[str]:
    yield schema.SCHEMA
    for table, columns in TABLES.items():
        for column in columns:
            null = " or null" if column.nullable else ""
            unit = f", {column.unit}" if column.unit else ""
            yield f"{table}.{column.name}: {column.full_type}{null}{unit}"


def test_columns_types_units_and_nulls_are_those_of_the_golden_file() -> None:
    assert list(declared()) == GOLDEN.read_text().splitlines()


def test_the_page_has_the_columns_that_the_declarations_print() -> None:
    assert "\n".join(schema.lines()) in (GOLDEN.parents[3] / "docs" / "tables.md").read_text()


def test_every_number_on_the_wire_is_a_column_of_its_width() -> None:
    types = {column.name: column.type for column in TABLES["frames"]}
    for layout, prefix in ((HEADER, ""), (OPTIONS, ""), (HEADER, "inner_"), (MESSAGE, ""), (RECOVERY, ""), (LOCK, "")):
        for name in layout.names or ():
            if name != "rl_name":  # text: in resource and resource_bytes
                assert types[prefix + name] == layout[name].newbyteorder("=").name


@pytest.mark.parametrize("table", TABLES)
def test_arrow_has_the_columns_as_they_are_declared(table: str) -> None:
    made = arrow_schema(table)
    assert made.metadata == {b"schema": schema.SCHEMA.encode(), b"table": table.encode()}
    for field, column in zip(made, TABLES[table], strict=True):
        assert field.name == column.name
        assert field.nullable == column.nullable
        assert field.metadata[b"meaning"].decode() == column.meaning
        assert field.metadata.get(b"unit", b"").decode() == column.unit
        assert same_type(field.type, column)


def same_type(made: pa.DataType, column: Column) -> bool:
    if column.type.startswith("list"):
        inside = made.value_type
        return inside == pa.string() if column.type == "list<string>" else same_structure(inside, column)
    return same_structure(made, column) if column.type == "struct" else str(made) == column.type


def same_structure(made: pa.DataType, column: Column) -> bool:
    return [field.name for field in made] == [field.name for field in column.fields] and all(
        same_type(field.type, inside) for field, inside in zip(made, column.fields, strict=True)
    )


if __name__ == "__main__":
    GOLDEN.write_text("\n".join([*declared(), ""]))
