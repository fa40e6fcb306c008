"""docs/analysis.md has the keys of the JSON of analyze as the program has them."""

from evidence import REPOSITORY

from dlmtrace.views import analysis_schema


def test_the_page_has_the_schema() -> None:
    page = (REPOSITORY / "docs" / "analysis.md").read_text()
    assert "\n".join(analysis_schema.lines()) in page, "python -m dlmtrace.views.analysis_schema"
