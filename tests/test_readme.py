"""The examples of README.md are what the commands print."""

import re
import shlex
import subprocess
import sys

import pytest
from evidence import REPOSITORY

README = (REPOSITORY / "README.md").read_text()
CONSOLE = re.findall(r"```console\n\$ (.*?)\n(.*?)```", README, re.DOTALL)
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def run(*command: str) -> str:
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True, text=True).stdout


@pytest.mark.parametrize(("command", "output"), CONSOLE, ids=[command for command, _ in CONSOLE])
def test_the_commands_print_what_the_page_shows(command: str, output: str) -> None:
    tool, *arguments = shlex.split(command)
    if tool == "./quickstart":  # its arguments stand in the script
        script = (REPOSITORY / "quickstart").read_text().replace("$here/", "")
        arguments = shlex.split(re.findall(r"set -- (.*)", script)[0])
    printed = run(sys.executable, "-c", "from dlmtrace.cli.main import main; main()", *arguments)
    assert [line.rstrip() for line in printed.splitlines()] == output.splitlines()


@pytest.mark.parametrize("example", PYTHON)
def test_the_python_examples_run(example: str) -> None:
    assert run(sys.executable, "-c", example)
