"""Annotated captures: tshark shows the findings on their packets, and editcap gets the input's packets back."""

import json
import os
import re
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from command_result import Result
from evidence import CAPTURE_FILES, capture_bytes, capture_path
from oracles.packets import Packet, struct_packets
from oracles.pcapng_blocks import block, counter, enhanced, interface, obsolete, section, simple, statistics

Run = Callable[..., Result]

DLMTRACE = [sys.executable, "-c", "from dlmtrace.cli.main import main; main()"]

FILE_HEADER = 24
STALLED = "rst-stall-6.12-tcp.pcap"
HARMLESS = "Running as user"


def complaints(messages: str) -> list[str]:
    """What a tool of Wireshark's says on standard error, but for what it says to root."""
    return [line for line in messages.splitlines() if not line.startswith(HARMLESS)]


def tshark(path: Path, *arguments: str) -> list[list[str]]:
    """Rows of fields; IP is left alone, which saves time."""
    command = ["tshark", "-n", "-r", str(path), "--disable-protocol", "ip", "--disable-protocol", "ipv6"]
    fields = [word for field in arguments for word in ("-e", field)]
    shown = subprocess.run([*command, "-T", "fields", "-E", "aggregator=|", *fields], capture_output=True, text=True)
    assert shown.returncode == 0
    assert not complaints(shown.stderr)
    return [line.split("\t") for line in shown.stdout.splitlines()]


def codes_shown(path: Path) -> dict[int, Counter[str]]:
    """The codes in the comments of each packet, as tshark shows them."""
    shown = {}
    for number, comments in tshark(path, "frame.number", "frame.comment"):
        if codes := re.findall(r"dlmtrace: \w+ ([A-Z]{3}\d{3})", comments):
            shown[int(number)] = Counter(codes)
    return shown


def codes_found(result: Result) -> dict[int, Counter[str]]:
    """The codes of the findings of each packet, as ``analyze --format json`` has them."""
    found: dict[int, Counter[str]] = {}
    for finding in json.loads(result.out)["findings"]:
        if finding["packet"] is not None:
            found.setdefault(finding["packet"], Counter())[finding["code"]] += 1
    return found


def as_pcap(path: Path, kind: str = "pcap") -> bytes:
    """The packets as a pcap file, by editcap."""
    target = path.with_suffix(f".{kind}")
    converted = subprocess.run(["editcap", "-F", kind, str(path), str(target)], capture_output=True, text=True)
    assert converted.returncode == 0
    assert not complaints(converted.stderr)
    data = target.read_bytes()
    target.unlink()
    return data


@pytest.fixture(autouse=True)
def _tools(require_tool: Callable[[str], str]) -> None:
    require_tool("tshark")
    require_tool("editcap")


@pytest.mark.parametrize("file", CAPTURE_FILES)
def test_every_real_capture(dlmtrace: Run, tmp_path: Path, file: str) -> None:
    output = tmp_path / "annotated.pcapng"
    result = dlmtrace("annotate", capture_path(file), "-o", output)
    assert result.status == 0
    assert not result.err
    expected = codes_found(dlmtrace("analyze", capture_path(file), "--format", "json"))
    assert codes_shown(output) == expected
    noun = "packet" if len(expected) == 1 else "packets"
    assert result.out.endswith(f"; {len(expected)} {noun} with comments\n")
    assert as_pcap(output)[FILE_HEADER:] == capture_bytes(file)[FILE_HEADER:]  # times, lengths and bytes


RESET = "rst-3.2-tcp.pcap"
RESUMED = 1599
"""The packet of RESET with which both nodes go on after the first reset."""
RECORDS = struct_packets(capture_bytes(RESET))[: RESUMED + 60]
MICROSECOND = 1000


def blocks(order: str, data: bytes) -> list[bytes]:
    """The blocks of a pcapng file, one by one."""
    found, at = [], 0
    while at < len(data):
        (length,) = struct.unpack_from(order + "I", data, at + 4)
        found.append(data[at : at + length])
        assert found[-1][-4:] == found[-1][4:8]
        at += length
    return found


def parts(packet: Packet) -> tuple[int, int, int, int]:
    """What a record of a pcap file begins with."""
    seconds, rest = divmod(packet.time or 0, 10**9)
    return seconds, rest // MICROSECOND, packet.captured, packet.length


def as_pcapng(order: str, pack: Callable[[int, bytes], bytes]) -> bytes:
    """RECORDS in a section with more than dlmtrace knows of; ``pack`` makes the block of the packet RESUMED."""
    written = [
        section(order, (2, b"some hardware"), (1, b"of the lab")),
        interface(order, 1, 0, (2, b"eth7"), (0xABC, b"unheard of")),
        interface(order, 1, 65535, (2, b"eth8"), (9, b"\x06")),
        block(order, 4, bytes(4)),  # name resolution, empty
    ]
    for packet, data in RECORDS:
        assert packet.time
        stamp = packet.time // MICROSECOND
        ours = pack(stamp, data) if packet.number == RESUMED else enhanced(order, packet.number % 2, stamp, data)
        written.append(ours)
    written.append(statistics(order, 0, 0, (4, counter(order, len(RECORDS)))))
    written.append(block(order, 0xBAD, b"a custom one"))
    return b"".join(written)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("old", [False, True])
def test_every_block_of_a_pcapng_file_stays(dlmtrace: Run, tmp_path: Path, order: str, old: bool) -> None:
    def pack(stamp: int, data: bytes) -> bytes:
        options = ((1, b"seen before"), (2, bytes(4)))
        return obsolete(order, 1, 3, stamp, data, *options) if old else enhanced(order, 1, stamp, data, *options)

    capture, output = tmp_path / "capture.pcapng", tmp_path / "annotated.pcapng"
    capture.write_bytes(as_pcapng(order, pack))
    assert dlmtrace("annotate", capture, "-o", output).status == 0
    shown = dict(tshark(output, "frame.number", "frame.comment"))[str(RESUMED)].split("|")
    assert {comment.split()[2] for comment in shown[:-1]} == {"SEQ204", "SEQ205", "CON404"}
    assert shown[-1] == "seen before"
    pairs = list(zip(blocks(order, capture.read_bytes()), blocks(order, output.read_bytes()), strict=True))
    changed = [(before, after) for before, after in pairs if before != after]
    heads = [0x0A0D0D0A, 2 if old else 6, *[6] * (len(changed) - 2)]
    assert [struct.unpack_from(order + "I", before)[0] for before, _ in changed] == heads
    for before, after in changed:  # but for the lengths only something was put in, and that as options
        place = 24 if before is changed[0][0] else 28 + (struct.unpack_from(order + "I", before, 20)[0] + 3) // 4 * 4
        more = len(after) - len(before)
        assert more > 0
        assert after[8:place] == before[8:place]
        assert after[place : place + 2] == struct.pack(order + "H", 1)
        assert after[place + more : -4] == before[place:-4]


def test_a_simple_packet_block_takes_no_comment(dlmtrace: Run, tmp_path: Path) -> None:
    capture, output = tmp_path / "capture.pcapng", tmp_path / "annotated.pcapng"
    capture.write_bytes(as_pcapng("<", lambda stamp, data: simple("<", len(data), data)))
    result = dlmtrace("annotate", capture, "-o", output)
    assert result.status == 0
    assert result.err == (
        "dlmtrace: simple packet blocks take no comments: left out on 1 packet, the first is packet 1599\n"
    )
    assert blocks("<", capture.read_bytes())[1:] != blocks("<", output.read_bytes())[1:]  # others have theirs
    assert RESUMED not in codes_shown(output)


class TestAnyInput:
    """The same packets in another wrapping give the same annotated file."""

    @pytest.fixture
    def expected(self, dlmtrace: Run, tmp_path: Path) -> bytes:
        path = tmp_path / "expected.pcapng"
        assert dlmtrace("annotate", capture_path(RESET), "-o", path).status == 0
        return self.without_name(path.read_bytes())

    def without_name(self, data: bytes) -> bytes:
        """The blocks behind the section header, whose comment names the input."""
        return b"".join(blocks("<", data)[1:])

    def test_plain(self, dlmtrace: Run, tmp_path: Path, expected: bytes, plain_capture: Callable[[str], Path]) -> None:
        assert dlmtrace("annotate", plain_capture(RESET), "-o", tmp_path / "out.pcapng").status == 0
        assert self.without_name((tmp_path / "out.pcapng").read_bytes()) == expected

    def test_standard_input(self, tmp_path: Path, expected: bytes) -> None:
        for data in (capture_path(RESET).read_bytes(), capture_bytes(RESET)):
            command = [*DLMTRACE, "annotate", "-", "-o", str(tmp_path / "out.pcapng")]
            result = subprocess.run(command, input=data, capture_output=True, timeout=60)
            assert result.returncode == 0
            assert not result.stderr
            assert self.without_name((tmp_path / "out.pcapng").read_bytes()) == expected
            assert sorted(path.name for path in tmp_path.iterdir()) == ["expected.pcapng", "out.pcapng"]

    def test_nanoseconds_keep_their_resolution(
        self, dlmtrace: Run, tmp_path: Path, plain_capture: Callable[[str], Path]
    ) -> None:
        capture, output = tmp_path / "capture.pcap", tmp_path / "annotated.pcapng"
        command = ["editcap", "-F", "nsecpcap", "-t", "0.000000123", plain_capture(RESET), capture]
        subprocess.run(command, check=True, capture_output=True)
        assert dlmtrace("annotate", capture, "-o", output).status == 0
        assert as_pcap(output, "nsecpcap") == capture.read_bytes()
        assert blocks("<", output.read_bytes())[1][16:24] == struct.pack("<HHB3x", 9, 1, 9)  # if_tsresol

    def test_the_other_byte_order(self, dlmtrace: Run, tmp_path: Path) -> None:
        capture, output = tmp_path / "capture.pcap", tmp_path / "annotated.pcapng"
        records = [
            struct.pack(">4I", packet.time // 10**9, packet.time % 10**9 // MICROSECOND, len(data), packet.length)
            + data
            for packet, data in RECORDS
            if packet.time
        ]
        capture.write_bytes(struct.pack(">IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1) + b"".join(records))
        assert dlmtrace("annotate", capture, "-o", output).status == 0
        assert struct_packets(as_pcap(output)) == RECORDS

    def test_the_modified_kind(self, dlmtrace: Run, tmp_path: Path) -> None:
        capture, output = tmp_path / "capture.pcap", tmp_path / "annotated.pcapng"
        records = [struct.pack("<4IIHBB", *parts(packet), 3, 0x0800, 0, 0) + data for packet, data in RECORDS]
        capture.write_bytes(struct.pack("<IHHiIII", 0xA1B2CD34, 2, 4, 0, 0, 262144, 1) + b"".join(records))
        assert dlmtrace("annotate", capture, "-o", output).status == 0
        assert struct_packets(as_pcap(output)) == RECORDS

    def test_sections_of_either_byte_order(self, dlmtrace: Run, tmp_path: Path) -> None:
        capture, output = tmp_path / "capture.pcapng", tmp_path / "annotated.pcapng"
        sections = [
            section(order)
            + interface(order, 1, 0)
            + b"".join(enhanced(order, 0, (packet.time or 0) // MICROSECOND, data) for packet, data in records)
            for order, records in (("<", RECORDS[:800]), (">", RECORDS[800:]))
        ]
        capture.write_bytes(b"".join(sections))
        assert dlmtrace("annotate", capture, "-o", output).status == 0
        expected = codes_found(dlmtrace("analyze", capture, "--format", "json"))
        assert codes_shown(output) == expected
        assert RESUMED in expected
        assert struct_packets(as_pcap(output)) == RECORDS

    def test_a_file_that_ends_early(self, dlmtrace: Run, tmp_path: Path) -> None:
        capture, output = tmp_path / "cut.pcap", tmp_path / "annotated.pcapng"
        capture.write_bytes(capture_bytes(RESET)[:-7])
        assert dlmtrace("annotate", capture, "-o", output).status == 0
        before = struct_packets(capture_bytes(RESET))
        assert struct_packets(as_pcap(output)) == before[:-1]
        assert codes_shown(output)[len(before) - 1]["CAP907"] == 1


def test_memory_does_not_grow_with_the_capture(tmp_path: Path) -> None:
    script = (
        "import os, re, sys\n"
        "from dlmtrace.views.annotated import write_annotated\n"
        "with open(os.devnull, 'wb') as target:\n"
        "    write_annotated(sys.argv[1], os.path.getsize(sys.argv[1]), target, '', {7: ['here']})\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
    )
    data = capture_bytes("big-3.2-tcp.n1.ring.pcap")
    peaks = []
    for times in (1, 5):  # 20 MB, 100 MB
        (tmp_path / "big.pcap").write_bytes(data[:FILE_HEADER] + times * data[FILE_HEADER:])
        command = [sys.executable, "-c", script, tmp_path / "big.pcap"]
        peaks.append(int(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout))
    assert peaks[1] < peaks[0] + 8 * 1024  # KiB


class TestTheWhole:
    def test_the_section_has_the_verdict(self, dlmtrace: Run, tmp_path: Path) -> None:
        output = tmp_path / "annotated.pcapng"
        dlmtrace("annotate", capture_path(STALLED), "-o", output)
        shown = subprocess.run(["capinfos", "-k", output], capture_output=True, text=True).stdout
        verdict = dlmtrace("analyze", capture_path(STALLED)).lines[2]
        assert verdict.startswith("ERRORS: ")
        assert verdict in shown

    def test_only_what_is_wanted(self, dlmtrace: Run, tmp_path: Path) -> None:
        output = tmp_path / "annotated.pcapng"
        dlmtrace("annotate", capture_path(STALLED), "-o", output, "--min-severity", "error", "--ignore", "SEQ")
        assert {code for codes in codes_shown(output).values() for code in codes} == {"CON401"}


class TestMistakes:
    def test_the_capture_itself_is_not_overwritten(
        self, dlmtrace: Run, tmp_path: Path, plain_capture: Callable[[str], Path]
    ) -> None:
        capture = plain_capture(RESET)
        result = dlmtrace("annotate", capture, "-o", capture)
        assert result.status == 2
        assert "it is the capture itself" in result.err
        assert capture.read_bytes() == capture_bytes(RESET)

    def test_what_is_no_file_is_not_replaced(self, dlmtrace: Run, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        result = dlmtrace("annotate", capture_path(RESET), "-o", tmp_path / "pipe")
        assert result.status == 2
        assert "is not a file that can be replaced" in result.err
        assert (tmp_path / "pipe").is_fifo()

    def test_nothing_is_left_of_what_could_not_be_read(self, dlmtrace: Run, tmp_path: Path) -> None:
        (tmp_path / "text").write_text("no capture at all")
        result = dlmtrace("annotate", tmp_path / "text", "-o", tmp_path / "out.pcapng")
        assert result.status == 2
        assert result.err.count("\n") == 1
        assert [path.name for path in tmp_path.iterdir()] == ["text"]

    def test_a_directory_that_is_not_there(self, dlmtrace: Run, tmp_path: Path) -> None:
        result = dlmtrace("annotate", capture_path(RESET), "-o", tmp_path / "none" / "out.pcapng")
        assert result.status == 2
        assert result.err.count("\n") == 1
        assert "No such file or directory" in result.err
