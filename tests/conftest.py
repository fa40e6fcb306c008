import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from evidence import capture_bytes
from terminal import Terminal


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that the workers of pytest-xdist end together."""
    items.sort(key=lambda item: "test_readers_agree" not in item.nodeid)


@pytest.fixture(scope="session")
def require_tool() -> Callable[[str], str]:
    """`require_tool("tshark")` gives the tool's path; without the tool the test is skipped, or fails under CI=true."""

    def find(tool: str) -> str:
        path = shutil.which(tool)
        if path is None and os.environ.get("CI"):
            pytest.fail(f"{tool} is not installed, and CI must not skip what is compared with it")
        if path is None:
            pytest.skip(f"{tool} is not installed")
        return path

    return find


@pytest.fixture
def terminal(require_tool: Callable[[str], str], tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(require_tool("tmux"), tmp_path)
    yield terminal
    terminal.close()


@pytest.fixture(scope="session")
def plain_capture(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`plain_capture("rst-3.2-tcp.pcap")`: the capture without its compression, for tools that read no zstd."""
    directory = tmp_path_factory.mktemp("captures")

    def write(file: str) -> Path:
        path = directory / file
        if not path.exists():
            path.write_bytes(capture_bytes(file))
        return path

    return write
