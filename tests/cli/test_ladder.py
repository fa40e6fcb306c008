"""Sequence diagrams of real captures: what is dashed, lost or ignored is what the kernels logged."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import pytest
from command_result import Result
from evidence import capture_bytes, capture_path
from oracles.kernel import log
from oracles.packets import struct_packets
from test_terminal import on_terminal, plain

from dlmtrace.craft import Network, opts, request

Run = Callable[..., Result]

SAFE = "rst-3.2-tcp"  # kernels that send again what was unconfirmed
UNSAFE = "rst-6.12-tcp"  # after the first reset node 1 goes on past what was lost
SVG = "{http://www.w3.org/2000/svg}"


def path(name: str) -> Path:
    return capture_path(f"{name}.pcap")


class Row(NamedTuple):
    """An arrow as it is drawn."""

    packet: int
    left: str  # what stands at the left lane
    label: str
    right: str
    stroke: str


def rows(result: Result) -> list[Row]:
    """The arrows between two lanes; the number of a packet stands at its first one only."""
    found, packet = [], 0
    for line in result.lines:
        match = re.fullmatch(r"(.*?)│(.)(.*)(.)│", line)
        if match:
            numbers = match[1].split()
            packet = int(numbers[-1]) if numbers else packet
            inside = match[2] + match[3] + match[4]
            label = re.search(r" (c\d.*?) [─╌━┈◀▶✗▷◁ ]", inside)
            assert label
            found.append(Row(packet, inside[:2], label[1], inside[-2:], inside[3]))
    return found


def numbers(arrows: list[Row]) -> list[int]:
    return [int(arrow.label.split()[1]) for arrow in arrows]


class TestWhatBecameOfAFrame:
    def test_sent_again_and_ignored(self, dlmtrace: Run) -> None:
        arrows = rows(dlmtrace("ladder", path(SAFE), "--reconnect", "r1", "-C", "0"))
        again = [arrow for arrow in arrows if arrow.stroke == "╌"]
        # node 2 logged `ignore dlm msg because seq mismatch, seq: 795, expected: 801` for each of them
        logged = [line.sequence for line in log(SAFE, 2).ignored if line.expected == 801]
        assert numbers(again) == logged == [795, 796, 797, 798, 799, 800]
        assert {arrow.right[-1] for arrow in again} == {"▷"}
        assert {arrow.packet for arrow in again} == {1599}
        new = [arrow for arrow in arrows if arrow.packet == 1599 and arrow.stroke == "─"]
        assert numbers(new)[:3] == [799, 800, 801]
        assert {arrow.right[-1] for arrow in new} == {"▶"}

    def test_lost(self, dlmtrace: Run) -> None:
        result = dlmtrace("ladder", path(UNSAFE), "--reconnect", "2", "-C", "30", "--limit", "1000")
        arrows = rows(result)
        # what node 2 still waited for when it logged the first frame from behind the gap
        first = log(UNSAFE, 2).ignored[0]
        lost = [arrow for arrow in arrows if arrow.right == "✗ "]
        assert numbers(lost) == list(range(first.expected, first.sequence)) == [804, 805]
        assert "──✗ never came: its connection or the receiver's kernel was gone" in result.lines

    def test_what_the_capture_misses_is_not_lost(self, dlmtrace: Run) -> None:
        result = dlmtrace("ladder", path("mid-capture.snap256"), "--limit", "1000")
        assert re.search(r"┈ c2 2706 bytes not captured ┈", result.out)
        assert "┈┈▶ not captured: nothing is known of it" in result.lines
        assert "✗" not in result.out

    def test_lost_without_numbers(self, dlmtrace: Run) -> None:
        result = dlmtrace("ladder", path("rst-3.1-tcp"), "--reconnect", "r1", "-C", "100", "--limit", "1000")
        told = re.search(r"TCP had not acknowledged (\d+) frames", result.lines[0])
        assert told
        lost = [arrow for arrow in rows(result) if "✗ " in (arrow.left[::-1], arrow.right)]
        assert len(lost) == int(told[1]) > 0


class TestWhatIsShown:
    def test_frames_of_a_selection(self, dlmtrace: Run) -> None:
        selection = ["--node", "1", "--command", "MSG", "--seq", "60-64"]
        capture = path("gfs2-2node")
        listed = [line.split() for line in dlmtrace("decode", capture, *selection).lines]
        drawn = rows(dlmtrace("ladder", capture, *selection))
        assert [(str(arrow.packet), *arrow.label.split()[1:3]) for arrow in drawn] == [
            (words[0], words[4], words[6]) for words in listed
        ]

    def test_connections_that_break_and_begin(self, dlmtrace: Run) -> None:
        arrows = rows(dlmtrace("ladder", path(SAFE), "--reconnect", "r1", "-C", "3"))
        packets = struct_packets(capture_bytes(f"{SAFE}.pcap"))
        flags = {"RST": 0x04, "SYN": 0x02, "FIN": 0x01}
        told = [(arrow.packet, arrow.label.split()[1]) for arrow in arrows if arrow.label.split()[1] in flags]
        assert [word for _, word in told] == ["RST", "SYN", "FIN", "SYN", "FIN"]
        for packet, word in told:
            data = packets[packet - 1][1]
            assert data[14 + (data[14] & 15) * 4 + 13] & flags[word]

    def test_around_a_packet(self, dlmtrace: Run) -> None:
        result = dlmtrace("ladder", path(UNSAFE), "--around", "1280", "-C", "12")
        arrows = rows(result)
        frames = [line.split() for line in dlmtrace("decode", path(UNSAFE)).lines]
        middle = next(place for place, words in enumerate(frames) if int(words[0]) >= 1280)
        wanted = frames[middle - 12 : middle + 13]
        assert [arrow.packet for arrow in arrows] == [int(words[0]) for words in wanted]
        assert [arrow.label.split()[0] for arrow in arrows] == [words[2] for words in wanted]
        assert (
            result.lines[-1] == f"{middle - 12} frames before and {len(frames) - middle - 13} frames behind not shown."
        )

    def test_no_more_than_wanted(self, dlmtrace: Run) -> None:
        result = dlmtrace("ladder", path(UNSAFE), "--command", "MSG", "--limit", "7")
        count = int(dlmtrace("decode", path(UNSAFE), "--command", "MSG", "--count").out)
        assert len([arrow for arrow in rows(result) if " SYN" not in arrow.label]) == 7
        assert result.lines[-1] == f"{count - 7} frames behind not shown."

    def test_what_is_left_out_in_the_middle(self, dlmtrace: Run) -> None:
        everything = rows(dlmtrace("ladder", path(UNSAFE), "--reconnect", "2", "-C", "5"))
        result = dlmtrace("ladder", path(UNSAFE), "--reconnect", "2", "-C", "5", "--limit", "10")
        gap = [line.strip() for line in result.lines if "more frames" in line]
        assert gap == [f"… {len(everything) - len(rows(result))} more frames"]
        assert rows(result)[-5:] == everything[-5:]

    def test_three_nodes(self, dlmtrace: Run) -> None:
        result = dlmtrace("ladder", path("recovery-locks-3node"), "--type", "NAMES_REPLY", "--limit", "6")
        assert result.lines[1].split() == ["time", "packet", "node", "1", "node", "2", "node", "3"]
        selection = ["--type", "NAMES_REPLY", "--limit", "6"]
        streams = [line.split()[3] for line in dlmtrace("decode", path("recovery-locks-3node"), *selection).lines]
        lanes = [place for place, letter in enumerate(result.lines[2]) if letter == "│"]
        for line, stream in zip((line for line in result.lines if "NAMES_REPLY" in line), streams, strict=True):
            sender, receiver = (lanes[int(node) - 1] for node in stream.split("→"))
            assert line[receiver - 1 if receiver > sender else receiver + 1] in "▶◀"

    def test_names_of_nodes(self, dlmtrace: Run, tmp_path: Path) -> None:
        (tmp_path / "nodes").write_text("1 alice\n")
        result = dlmtrace("ladder", path(SAFE), "--limit", "1", "--nodes", tmp_path / "nodes")
        assert "node 1 (alice)" in result.lines[1]

    def test_several_files(self, dlmtrace: Run) -> None:
        files = [capture_path(f"sctp-multihome.net{number}.pcap") for number in (0, 1)]
        result = dlmtrace("ladder", *files, "--around", "sctp-multihome.net1.pcap.zst:400", "-C", "4")
        assert result.status == 0
        assert "sctp-multihome.net1.pcap.zst:4" in result.out
        unclear = dlmtrace("ladder", *files, "--around", "400")
        assert unclear.status == 2
        assert "sctp-multihome.net0.pcap.zst:400" in unclear.err


class TestTerminal:
    @pytest.mark.parametrize("width", [60, 80, 140])
    def test_it_fits_and_has_colours(self, width: int) -> None:
        output = on_terminal(["ladder", str(path(UNSAFE)), "--reconnect", "2", "-C", "4"], width)
        lines = [line for line in plain(output).splitlines() if "\x1b" not in line]  # the progress bar has more of them
        assert max(map(len, lines)) <= width
        arrows = [line for line in lines if line.endswith("│")]
        assert len({line.rindex("│") for line in arrows}) == 1
        assert "\x1b[1;31m" in output  # what is lost, bold and red
        assert {"36", "32"} <= set(re.findall(r"\x1b\[(3\d)m", output))  # two connections

    def test_too_many_nodes_for_it(self, require_tool: Callable[[str], str]) -> None:
        require_tool("script")
        command = [sys.executable, "-c", "from dlmtrace.cli.main import main; main()", "ladder"]
        script = f"stty cols 40; {' '.join(command[:2])} '{command[2]}' ladder {path('recovery-locks-3node')} -c 200"
        shown = subprocess.run(["script", "-qec", script, "/dev/null"], capture_output=True, text=True, timeout=60)
        assert "3 nodes need 50 columns" in shown.stdout


class TestSvg:
    def draw(self, dlmtrace: Run, output: Path, *arguments: object) -> ElementTree.Element:
        result = dlmtrace("ladder", *arguments, "-o", output)
        assert result.status == 0
        assert result.out.startswith(f"{output}: ")
        return ElementTree.parse(output).getroot()

    def test_the_same_arrows(self, dlmtrace: Run, tmp_path: Path) -> None:
        arguments = [path(UNSAFE), "--reconnect", "2", "-C", "30"]
        drawn = rows(dlmtrace("ladder", *arguments))
        root = self.draw(dlmtrace, tmp_path / "ladder.svg", *arguments)
        titles = [title.text or "" for title in root.iter(f"{SVG}title")]
        assert len(titles) == len(drawn)
        assert [int(re.findall(r"packet (\d+)", title)[0]) for title in titles] == [row.packet for row in drawn]
        legend = 1
        dashed = [line for line in root.iter(f"{SVG}line") if line.get("stroke-dasharray") == "6 4"]
        assert len(dashed) - legend == sum(row.stroke == "╌" for row in drawn) > 0
        crosses = [mark for mark in root.iter(f"{SVG}path") if "cross" in (mark.get("class") or "")]
        assert len(crosses) - legend == sum("✗" in row.left + row.right for row in drawn) == 2

    def test_names_from_the_wire_stay_text(self, dlmtrace: Run, tmp_path: Path) -> None:
        name = b"<script>alert(1)</script>&"
        with Network(tmp_path / "a.pcap") as network:
            one, two = network.node(1, "10.0.0.1"), network.node(2, "10.0.0.2")
            network.connect(one, two).send(one, opts(0, request(name, sender=1)))
        root = self.draw(dlmtrace, tmp_path / "a.svg", tmp_path / "a.pcap")
        assert not list(root.iter(f"{SVG}script"))
        assert any(name.decode() in (text.text or "") for text in root.iter(f"{SVG}text"))
        assert "href" not in (tmp_path / "a.svg").read_text()
        assert "url(" not in (tmp_path / "a.svg").read_text()


class TestMistakes:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--around", "99999"], "'99999' is not a packet of rst-3.2-tcp.pcap.zst, which has 12855"),
            (["--around", "12x"], "'12x' is not a packet"),
            (["--reconnect", "r99"], "'r99' is not one of r1 to r"),
            (["--reconnect", "r1", "--around", "1"], "either --around or --reconnect"),
            (["-o", "ladder.png"], "is not the name of an SVG file"),
            (["--seq", "x"], "'x' is not a number or a range"),
        ],
    )
    def test_are_told_in_a_line(self, dlmtrace: Run, arguments: list[str], message: str) -> None:
        result = dlmtrace("ladder", path(SAFE), *arguments)
        assert result.status == 2
        assert message in result.err
        assert result.err.count("\n") == 1

    def test_standard_input_cannot_be_read_twice(self, dlmtrace: Run) -> None:
        assert "not from standard input" in dlmtrace("ladder", "-", "--reconnect", "r1").err

    def test_nothing_is_selected(self, dlmtrace: Run) -> None:
        result = dlmtrace("ladder", path(SAFE), "--node", "77")
        assert (result.status, result.out, result.err) == (0, "", "dlmtrace: no frame is selected\n")


def test_the_pipe_gets_no_colours(dlmtrace: Run) -> None:
    assert "\x1b" not in dlmtrace("ladder", path(SAFE), "--limit", "30").out
