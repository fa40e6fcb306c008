"""docs/formats.md is printed from the declarations and says what they say today."""

from evidence import REPOSITORY

from dlmtrace.wire.document import lines


def test_the_page_of_formats_is_current() -> None:
    page = (REPOSITORY / "docs" / "formats.md").read_text()
    assert page == "\n".join(lines()).rstrip() + "\n", "python -m dlmtrace.wire.document > docs/formats.md"
