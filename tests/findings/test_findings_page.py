"""docs/findings.md is printed from the catalogue and says what it says today."""

import re

from evidence import REPOSITORY

from dlmtrace.findings.catalogue import CATALOGUE
from dlmtrace.findings.document import lines
from dlmtrace.findings.outcome import FAILED, INCONCLUSIVE

PAGE = (REPOSITORY / "docs" / "findings.md").read_text()


def test_the_page_is_current() -> None:
    assert "\n".join(lines()).rstrip() + "\n" == PAGE, "python -m dlmtrace.findings.document > docs/findings.md"


def test_every_finding_has_its_section_and_every_link_leads_to_one() -> None:
    anchors = {f"{heading.lower().replace(' ', '-')}" for heading in re.findall(r"^### (.*)$", PAGE, re.MULTILINE)}
    assert anchors == {f"{entry.code.lower()}-{entry.name}" for entry in CATALOGUE.values()}
    assert set(re.findall(r"\]\(#([a-z]{3}[0-9]{3}[^)]*)\)", PAGE)) == anchors


def test_the_page_has_the_exit_statuses_that_the_program_uses() -> None:
    statuses = [int(status) for status in re.findall(r"^\| ([0-9]+) \|", PAGE, re.MULTILINE)]
    assert statuses == [0, FAILED, 2, INCONCLUSIVE, 130]
