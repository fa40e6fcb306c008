"""Capturing on one end of a veth pair, in a network namespace of its own, what is replayed on the other end."""

import os
import re
import shlex
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from evidence import capture_bytes
from oracles.packets import struct_packets
from scapy.layers.inet import IP, TCP, UDP, fragment
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw
from terminal import Terminal

from dlmtrace.capture.live import filter_expression

FILE = "rst-6.12-tcp.pcap"
FRAMES = 17_133  # captures/rst-6.12-tcp.json
DLMTRACE = [sys.executable, "-c", "from dlmtrace.cli.main import main; main()"]
REPLAY = Path(__file__).with_name("replay.py")
PATIENCE = 60
TCP_PROTOCOL = 6


class Namespace:
    """A network namespace with the interfaces ``wire`` and ``tap``, the two ends of a veth pair.

    It lives as long as the process that holds it.  Who is not root is root in a user namespace around it.
    """

    def __init__(self) -> None:
        script = "echo made; exec sleep infinity"
        command = ["unshare", *(["--map-root-user"] if os.geteuid() else []), "--net", "sh", "-c", script]
        self.holder = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.holder.stdout
        self.made = self.holder.stdout.readline() == "made\n"

    def command(self, *arguments: object) -> list[str]:
        """A command that runs inside."""
        users = ["--user", "--preserve-credentials"] if os.geteuid() else []
        return ["nsenter", "--target", str(self.holder.pid), *users, "--net", *map(str, arguments)]

    def run(self, *arguments: object) -> str:
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=PATIENCE, check=True)
        return done.stdout

    def replay(self, capture: Path, rate: int) -> None:
        """Send the packets of a capture on ``wire``."""
        self.run(sys.executable, REPLAY, capture, "wire", rate)


@pytest.fixture(scope="module")
def namespace(require_tool: Callable[[str], str]) -> Iterator[Namespace]:
    for tool in ("ip", "unshare", "nsenter"):
        require_tool(tool)
    inside = Namespace()
    if not inside.made:
        _, reason = inside.holder.communicate(timeout=PATIENCE)
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    try:
        inside.run("ip", "link", "add", "wire", "type", "veth", "peer", "name", "tap")
        for interface in ("wire", "tap"):
            inside.run("ip", "link", "set", interface, "mtu", 65535, "up")  # captures hold segments before segmentation
        yield inside
    finally:
        inside.holder.kill()
        inside.holder.communicate(timeout=PATIENCE)


def until(happened: Callable[[], bool]) -> None:
    """Wait for it."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Live:
    """`dlmtrace live` in the namespace, its output into files."""

    def __init__(self, namespace: Namespace, directory: Path, *options: object) -> None:
        self.out, self.err = directory / "out", directory / "err"
        command = namespace.command(*DLMTRACE, "live", "-i", "tap", "-w", directory / "live.pcap", *options)
        with self.out.open("w") as out, self.err.open("w") as err:
            self.process = subprocess.Popen(command, stdout=out, stderr=err)
        self.file = directory / "live.pcap"
        until(lambda: (self.file.exists() and self.file.stat().st_size >= 24) or self.process.poll() is not None)

    def captured(self) -> int:
        return len(struct_packets(self.file.read_bytes()))

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


def dlm_packets(capture: bytes) -> list[bytes]:
    """What the filter is to let through."""
    return [data for _, data in struct_packets(capture) if data[12:14] == b"\x08\x00" and data[23] == TCP_PROTOCOL]


def followed(path: Path) -> tuple[int, list[str]]:
    """Exit status and lines of ``analyze --follow``."""
    done = subprocess.run([*DLMTRACE, "analyze", path, "--follow"], capture_output=True, text=True, timeout=PATIENCE)
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_what_is_told_live_is_what_the_file_tells(
    namespace: Namespace, tmp_path: Path, plain_capture: Callable[[str], Path], how: int
) -> None:
    live = Live(namespace, tmp_path)
    namespace.replay(plain_capture(FILE), 20_000)
    expected = dlm_packets(capture_bytes(FILE))
    until(lambda: live.captured() == len(expected))
    status = live.end(how)
    assert not live.err.read_text()
    assert [data for _, data in struct_packets(live.file.read_bytes())] == expected
    analysed, lines = followed(live.file)
    told = live.out.read_text().splitlines()
    assert f" {FRAMES} frames " in told[-4]
    assert sorted(told) == sorted(line.replace("live.pcap:", "tap:") for line in lines)
    assert status == analysed == 1


def test_no_dlm_is_told(namespace: Namespace, tmp_path: Path) -> None:
    live = Live(namespace, tmp_path)
    assert live.end() == 3
    assert live.err.read_text() == "dlmtrace: no DLM on port 21064: no TCP and no SCTP in 0 packets\n"
    assert live.out.read_text().splitlines()[-1] == "UNDECIDED: there is no DLM in this capture"


def test_all_interfaces_and_a_full_disk(
    namespace: Namespace, tmp_path: Path, plain_capture: Callable[[str], Path]
) -> None:
    with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
        command = namespace.command(*DLMTRACE, "live", "-i", "any", "-w", "/dev/full")
        live = subprocess.Popen(command, stdout=out, stderr=err)
    until(lambda: namespace.run("cat", "/proc/net/packet").count("\n") > 1)  # its socket, below the titles
    namespace.replay(plain_capture(FILE), 20_000)
    until(lambda: "r7 " in (tmp_path / "out").read_text())
    live.send_signal(signal.SIGINT)
    assert live.wait(PATIENCE) == 1
    # every packet comes twice, as it leaves one end and arrives at the other
    assert f" {FRAMES} frames " in (tmp_path / "out").read_text().splitlines()[-4]
    message = "dlmtrace: any: /dev/full: No space left on device; the rest is not written there\n"
    assert (tmp_path / "err").read_text() == message


def test_packets_that_the_kernel_had_no_room_for(namespace: Namespace, tmp_path: Path) -> None:
    packet = bytes(Ether() / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1, dport=21064) / Raw(bytes(60_000)))
    record = struct.pack("<4I", 1, 0, len(packet), len(packet)) + packet
    header = capture_bytes(FILE)[:24]
    (tmp_path / "large.pcap").write_bytes(header + 800 * record)  # 48 MB
    live = Live(namespace, tmp_path)
    os.kill(live.process.pid, signal.SIGSTOP)
    namespace.replay(tmp_path / "large.pcap", 1_000_000)
    os.kill(live.process.pid, signal.SIGCONT)
    until(lambda: live.captured() > 0)
    live.end()
    dropped = re.search(r"CAP908 .*tap: the kernel had no room for (\d+) packets", live.out.read_text())
    assert dropped
    assert int(dropped[1]) == 800 - live.captured()


def test_an_interface_that_goes_away(namespace: Namespace, tmp_path: Path) -> None:
    namespace.run("ip", "link", "add", "gone", "type", "veth", "peer", "name", "other")
    namespace.run("ip", "link", "set", "gone", "up")
    live = Live(namespace, tmp_path, "-i", "gone")
    namespace.run("ip", "link", "del", "gone")
    assert live.process.wait(PATIENCE) == 3
    assert re.match("dlmtrace: gone: the capture ended: ", live.err.read_text())


@pytest.mark.parametrize(("width", "height"), [(80, 24), (140, 40)])
def test_the_screen_grows_and_ends_with_the_report(
    namespace: Namespace, terminal: Terminal, plain_capture: Callable[[str], Path], width: int, height: int
) -> None:
    terminal.run(shlex.join(namespace.command(*DLMTRACE, "live", "-i", "tap")), width, height)
    terminal.screen("^tap ")
    terminal.screen("^Ctrl-C ends the capture and tells the verdict$")
    namespace.replay(plain_capture(FILE), 20_000)
    terminal.screen(f"{FRAMES} frames")
    shown = terminal.screen("ended by FIN").splitlines()
    assert max(map(len, shown)) <= width
    # frames, last number, confirmed to, waiting, sent again: as `dlmtrace streams` has them of the file
    assert [line.split()[:6] for line in shown if re.match(" [12]→", line)] == [
        ["1→2", "8833", "7787", "7788", "0", "706"],
        ["2→1", "8300", "7832", "7833", "0", "103"],
    ]
    assert any("CON404 safe-reconnect 2→1: r7" in line for line in shown)
    assert shown[0].startswith("tap ")  # nothing has scrolled away
    terminal.press("C-c")
    report = terminal.screen("^status 1$", "-S", "-300").splitlines()
    assert report[0].startswith(f"tap: {len(dlm_packets(capture_bytes(FILE)))} packets")
    assert any(line.startswith("ERRORS: 1 error") for line in report)
    assert "Reconnects" in report
    assert not any("Ctrl-C" in line for line in report)


class TestMistakes:
    def told(self, command: Sequence[str]) -> str:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 2
        assert not done.stdout
        assert done.stderr.count("\n") == 1
        return done.stderr

    def test_no_such_interface(self, namespace: Namespace, tmp_path: Path) -> None:
        message = self.told(namespace.command(*DLMTRACE, "live", "-i", "nope", "-w", tmp_path / "file"))
        assert message.startswith("dlmtrace: nope: no such interface; there are lo, ")
        assert "tap" in message
        assert not (tmp_path / "file").exists()

    def test_no_permission(self, namespace: Namespace) -> None:
        without = ["setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw"]
        message = self.told(namespace.command(*without, *DLMTRACE, "live", "-i", "tap"))
        assert message.startswith("dlmtrace: tap: no permission to capture; run it as root")

    def test_the_interface_is_down(self, namespace: Namespace) -> None:
        namespace.run("ip", "link", "add", "quiet", "type", "veth", "peer", "name", "silent")
        message = self.told(namespace.command(*DLMTRACE, "live", "-i", "quiet"))
        assert message == "dlmtrace: quiet: the interface is down; set it up (ip link set quiet up)\n"

    def test_a_file_that_cannot_be_written(self, namespace: Namespace, tmp_path: Path) -> None:
        message = self.told(namespace.command(*DLMTRACE, "live", "-i", "tap", "-w", tmp_path / "none" / "file"))
        assert message == f"dlmtrace: {tmp_path}/none/file: No such file or directory\n"


class TestFilter:
    """What tcpdump lets through with the filter."""

    @pytest.fixture(autouse=True)
    def _tcpdump(self, require_tool: Callable[[str], str]) -> None:
        require_tool("tcpdump")

    def passed(self, packets: list[bytes], expression: str, tmp_path: Path) -> list[bytes]:
        records = [struct.pack("<4I", 0, 0, len(data), len(data)) + data for data in packets]
        header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
        (tmp_path / "in.pcap").write_bytes(header + b"".join(records))
        command = ["tcpdump", "-r", tmp_path / "in.pcap", "-w", tmp_path / "out.pcap", expression]
        subprocess.run(command, check=True, capture_output=True)
        return [data for _, data in struct_packets((tmp_path / "out.pcap").read_bytes())]

    def test_ports(self, tmp_path: Path) -> None:
        packets = [data for _, data in struct_packets(capture_bytes(FILE))]
        expected = dlm_packets(capture_bytes(FILE))
        assert 0 < len(expected) < len(packets)
        assert self.passed(packets, filter_expression([21064], vlan=True), tmp_path) == expected
        assert self.passed(packets, filter_expression([21065, 80], vlan=True), tmp_path) == []
        assert self.passed(packets, filter_expression(None, vlan=True), tmp_path) == expected

    def test_sctp(self, tmp_path: Path) -> None:
        packets = [data for _, data in struct_packets(capture_bytes("sctp-3.2.pcap"))]
        sctp = [data for data in packets if data[12:14] == b"\x08\x00" and data[23] == 132]
        assert self.passed(packets, filter_expression([21064], vlan=False), tmp_path) == sctp

    def test_behind_a_vlan_tag(self, tmp_path: Path) -> None:
        packets = [data[:12] + b"\x81\x00\x00\x07" + data[12:] for data in dlm_packets(capture_bytes(FILE))[:50]]
        assert self.passed(packets, filter_expression([21064], vlan=True), tmp_path) == packets

    def test_later_fragments(self, tmp_path: Path) -> None:
        whole = IP(src="10.0.0.1", dst="10.0.0.2", id=7) / UDP(sport=1, dport=2) / Raw(bytes(3000))
        first, *later = [bytes(Ether() / part) for part in fragment(whole, 1000)]
        assert self.passed([first, *later], filter_expression([21064], vlan=True), tmp_path) == later
        tagged = [bytes(Ether() / Dot1Q(vlan=7) / part) for part in fragment(whole, 1000)]
        assert self.passed(tagged, filter_expression([21064], vlan=True), tmp_path) == tagged[1:]
