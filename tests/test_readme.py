"""The examples of README.md and of the how-to are what the commands print.

`python tests/test_readme.py` writes their present output into the pages.
"""

import re
import shlex
import subprocess
import sys

import pytest
from evidence import REPOSITORY

PAGES = [REPOSITORY / "README.md", REPOSITORY / "docs" / "fenced.md"]
CONSOLE = re.compile(r"```console\n\$ (?P<command>.*?)\n(?P<output>.*?)```", re.DOTALL)
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)


def run_python(*arguments: str) -> str:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True, text=True).stdout


def output_of(command: str) -> str:
    tool, *arguments = shlex.split(command)
    if tool == "./quickstart":  # its arguments stand in the script
        script = (REPOSITORY / "quickstart").read_text().replace("$here/", "")
        arguments = shlex.split(re.findall(r"set -- (.*)", script)[0])
    printed = run_python("-c", "from dlmtrace.cli.main import main; main()", *arguments)
    return "".join(f"{line.rstrip()}\n" for line in printed.splitlines())


EXAMPLES = [example for page in PAGES for example in CONSOLE.finditer(page.read_text())]


@pytest.mark.parametrize("example", [pytest.param(each, id=each["command"]) for each in EXAMPLES])
def test_the_commands_print_what_the_page_shows(example: re.Match[str]) -> None:
    assert output_of(example["command"]) == example["output"]


@pytest.mark.parametrize("example", PYTHON.findall(PAGES[0].read_text()))
def test_the_python_examples_run(example: str) -> None:
    assert run_python("-c", example)


def rewritten(example: re.Match[str]) -> str:
    return f"```console\n$ {example['command']}\n{output_of(example['command'])}```"


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(CONSOLE.sub(rewritten, page.read_text()))
