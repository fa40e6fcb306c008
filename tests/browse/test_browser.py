"""The browser under Textual's pilot: what the keys show, on real captures."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from evidence import capture_path
from textual.pilot import Pilot
from textual.widgets import Input, Static

from dlmtrace.browse.app import Browser
from dlmtrace.browse.panes import BytesPane, FieldPane, FrameListPane
from dlmtrace.cli.analyze import Dialect
from dlmtrace.cli.browse import filter_of, open_loading

RESET = "rst-3.2-tcp.pcap"
LOCKS = "gfs2-2node.pcap"
CRASHED = "crash-3node.pcap"
STALLED = "rst-stall-6.12-tcp.pcap"
SMALL = (80, 24)
LARGE = (160, 50)


def dlmtrace(*arguments: str) -> str:
    command = [sys.executable, "-c", "from dlmtrace.cli.main import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout


class Screen:
    """A browser that has read everything."""

    def __init__(self, app: Browser, pilot: Pilot[None]) -> None:
        self.app, self.pilot = app, pilot

    @property
    def pane(self) -> FrameListPane:
        return self.app.query_one(FrameListPane)

    @property
    def lines(self) -> list[str]:
        """What the list shows."""
        pane = self.pane
        return [pane.render_line(y).text.rstrip() for y in range(pane.size.height)]

    def text(self, name: str) -> str:
        return str(self.app.query_one(f"#{name}", Static).render())

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.app.workers.wait_for_complete()
        await self.pilot.pause()

    async def filter(self, line: str) -> None:
        await self.press("slash")
        self.app.query_one(Input).value = line
        await self.press("enter")
        selected = self.app._selected
        for _ in range(100):
            if selected is None or selected.searched == self.app.store.count:
                break
            await self.pilot.pause(0.1)
        await self.pilot.pause(0.2)

    @property
    def lit(self) -> str:
        """The bytes that are lit, as the pane shows them."""
        pane = self.app.query_one(BytesPane)
        cells = [segment for y in range(pane.size.height) for segment in pane.render_line(y)]
        return "".join(cell.text for cell in cells if cell.style and cell.style.reverse)


@asynccontextmanager
async def browsing(file: str, size: tuple[int, int]) -> AsyncIterator[Screen]:
    loading = open_loading([str(capture_path(file))], frozenset(), False, Dialect.AUTO)
    app = Browser(loading, {}, filter_of)
    async with app.run_test(size=size) as pilot:
        for _ in range(600):
            if loading.finished:
                break
            await pilot.pause(0.1)
        await pilot.pause(0.3)
        yield Screen(app, pilot)
    loading.stop()


def look(file: str, size: tuple[int, int], script: Callable[[Screen], Awaitable[None]]) -> None:
    async def run() -> None:
        async with browsing(file, size) as screen:
            await script(screen)

    asyncio.run(run())


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_the_list_is_that_of_decode(size: tuple[int, int]) -> None:
    async def script(screen: Screen) -> None:
        printed = dlmtrace("decode", str(capture_path(RESET)), "--time-format", "relative").splitlines()
        width = screen.pane.size.width - 2  # the mark of a finding and a space stand in front
        height = screen.pane.size.height
        assert screen.lines[1:] == [f"  {line[:width].rstrip()}" for line in printed[1:height]]
        await screen.press("end")
        assert screen.lines[-1][2:] == printed[-1][:width].rstrip()
        assert screen.app.row == len(printed) - 1
        await screen.press("home", "down", "down", "pagedown")
        assert screen.app.row == 2 + height - 1
        assert f"{len(printed):,} frames" in screen.text("status")

    look(RESET, size, script)


def test_the_names_of_the_columns_scroll_with_them() -> None:
    async def script(screen: Screen) -> None:
        await screen.press("right")
        title, line = screen.text("titles"), screen.lines[0]
        assert title.startswith("econds conn nodes")  # 16 columns of "     packet      seconds conn nodes" are gone
        assert line.index("c1") == title.index("conn")
        assert line.index("RCOM") == title.index("command")
        await screen.press("left")
        assert screen.text("titles").startswith("   packet")

    look(RESET, SMALL, script)


def test_the_bytes_of_the_selected_field_are_lit() -> None:
    async def script(screen: Screen) -> None:
        await screen.filter("--seq 795 --node 1 --command OPTS")
        assert screen.lit == ""
        await screen.press("tab", "down", "down", "down")  # header, h_version, h_seq
        node = screen.app.query_one(FieldPane).cursor_node
        assert node is not None
        assert str(node.label).startswith("h_seq 795 ")
        assert screen.lit == "1b 03 00 00...."  # 795 = 0x31b, little endian
        await screen.press("escape", "down")  # the resent copy: the same field stays selected
        await screen.pilot.pause(0.2)
        assert screen.lit == "1b 03 00 00...."

    look(RESET, LARGE, script)


def test_the_filter_line_has_the_selectors_of_decode() -> None:
    async def script(screen: Screen) -> None:
        for line in ("--node 1 --seq 60-64", "type '*_REPLY' connection c1-c4", "resource=2/* time 3..4"):
            await screen.filter(line)
            options = re.sub(r"(?<![-\w])(type|connection|resource|time)\b", r"--\1", line).replace("'", "")
            count = dlmtrace("decode", str(capture_path(LOCKS)), "--count", *re.split("[ =]", options))
            assert screen.pane.count == int(count)
            assert f"{int(count):,} shown" in screen.text("status")
        await screen.filter("--node none")
        assert "'none' is not a number or a range" in screen.text("told")
        await screen.filter("--colour red")
        assert "'--colour' is not one of node, peer" in screen.text("told")
        await screen.filter("--seq 4000000000")
        assert (screen.pane.count, screen.lit, screen.text("told")) == (0, "", "")
        await screen.filter("")
        assert screen.pane.count == screen.app.store.count

    look(LOCKS, SMALL, script)


def test_n_goes_through_the_findings() -> None:
    found = json.loads(dlmtrace("analyze", str(capture_path(CRASHED)), "--format", "json"))["findings"]
    assert all(finding["severity"] == "warning" and finding["packet"] for finding in found)

    async def script(screen: Screen) -> None:
        seen = []
        for number in range(1, len(found) + 1):
            await screen.press("n")
            place, code, *_ = screen.text("told").split()
            assert place == f"{number}/{len(found)}"
            assert screen.lines[screen.pane.cursor - screen.pane.scroll_offset.y].startswith("?")
            packet = screen.app.store.records(screen.app.row, screen.app.row + 1)["packet"][0]
            seen.append((packet, code, screen.text("told").split(": ", 1)[1]))
        assert [packet for packet, _, _ in seen] == sorted(finding["packet"] for finding in found)
        assert sorted(seen) == sorted((each["packet"], each["code"], each["message"]) for each in found)
        await screen.press("home", "N")  # backwards from the first: the last
        assert screen.text("told").startswith(f"{len(found)}/{len(found)} ")

    look(CRASHED, SMALL, script)


def test_r_goes_to_the_reply_and_c_to_the_other_copy_and_neither_is_hidden_by_a_filter() -> None:
    async def script(screen: Screen) -> None:
        # README: 795 of node 1, UNLOCK 0x59→0x72, is in packet 1586 and again in 1599
        await screen.filter("--packet 1586 --seq 795")
        asked = screen.app.row
        await screen.press("r")
        assert screen.app.row > asked
        reply = screen.lines[screen.pane.cursor - screen.pane.scroll_offset.y]
        assert re.search(r" 2→1 .* OPTS/MSG  UNLOCK_REPLY .* 0x72→0x59 ", reply)
        assert screen.text("told").startswith(f"(filter off) frame {screen.app.row + 1}: packet ")
        await screen.press("r")  # the nearest request: the copy
        assert "packet 1599" in screen.text("told")
        await screen.press("c")
        assert screen.app.row == asked
        await screen.press("c")
        assert "packet 1599" in screen.text("told")
        await screen.press("home", "c")
        assert screen.text("told") == "only numbered frames are sent again"

    look(RESET, LARGE, script)


def test_only_frames_on_the_screen_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(screen: Screen) -> None:
        read = []
        store = screen.app.store
        rows = store.rows
        monkeypatch.setattr(store, "rows", lambda first, last: read.append(last - first) or rows(first, last))
        await screen.press("end", "pageup", "home")
        assert 0 < sum(read) < 10 * screen.pane.size.height
        assert store.count > 30_000

    look(STALLED, LARGE, script)


def test_a_capture_without_dlm_says_so() -> None:
    async def run() -> None:
        loading = open_loading([str(capture_path(RESET))], frozenset({4711}), False, Dialect.AUTO)
        app = Browser(loading, {}, filter_of)
        async with app.run_test(size=SMALL) as pilot:
            for _ in range(100):
                if loading.finished:
                    break
                await pilot.pause(0.1)
            await pilot.pause(0.3)
            screen = Screen(app, pilot)
            assert re.match("no DLM on port 4711", screen.text("told"))
            await screen.press("n", "r", "c", "down", "end", "tab", "down")  # nothing to go to
            assert screen.pane.count == 0

    asyncio.run(run())
