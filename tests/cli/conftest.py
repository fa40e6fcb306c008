import signal
import sys
from collections.abc import Callable, Iterator

import pytest
from command_result import Result

from dlmtrace.cli.main import main


@pytest.fixture
def dlmtrace(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Result]]:
    """`dlmtrace("decode", path, "--count")` runs the command as a shell would, output into files."""
    before = signal.getsignal(signal.SIGPIPE)

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["dlmtrace", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Result(ended.value.code if isinstance(ended.value.code, int) else 0, out, err)

    yield run
    signal.signal(signal.SIGPIPE, before)
