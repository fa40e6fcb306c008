from pathlib import Path

import pytest

from findings.captured import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Two nodes, no packet yet."""
    return Lab(tmp_path / "crafted.pcap")
