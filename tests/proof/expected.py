"""What `dlmtrace analyze` has to say about each capture: the table of docs/captures.md.

Worked out from what was done to the clusters and from what their kernels noted (test_expected.py holds the table
against these records), never from the output of `dlmtrace`.  Print the page: PYTHONPATH=tests python -m proof.expected
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

Pair = tuple[int, int | None]
"""Sender and receiver; no receiver where a stranger is one end."""


@dataclass(frozen=True)
class Told:
    """Findings of one code and stream.  ``findings``: how many; ``numbers``, ``frames``: of the only one."""

    code: str
    pair: Pair
    findings: int = 1
    numbers: tuple[int, int] | None = None
    frames: int | None = None

    def __str__(self) -> str:
        stream = "→".join(str(node) for node in self.pair if node is not None)
        times = f"{self.findings} × " if self.findings > 1 else ""
        low, high = self.numbers or (0, 0)
        numbers = "" if self.numbers is None else f" of {low}" if low == high else f" of {low}–{high}"
        frames = "" if self.frames is None else f", {self.frames} frames"
        return f"{times}{self.code} {stream}{numbers}{frames}"


@dataclass(frozen=True)
class Expected:
    """One capture.  ``verdicts``: of each stream's reconnects, in time order; ``told``: warnings and errors."""

    files: tuple[str, ...]
    happened: str
    verdicts: dict[tuple[int, int], tuple[str, ...]] = field(default_factory=dict)
    told: tuple[Told, ...] = ()
    notes: frozenset[str] = frozenset()
    known: str = ""  # from where


def one(name: str) -> tuple[str, ...]:
    """The usual file of a scenario."""
    return (f"{name}.pcap",)


def fresh_start(*pairs: tuple[int, int]) -> tuple[Told, ...]:
    """Both directions of node pairs start again at 0 because a node was gone: nothing else."""
    return tuple(Told(code, pair) for code in ("SEQ207", "CON408") for pair in pairs)


QUIET = [
    Expected(one("clean-3.1-tcp"), "join, load, leave"),
    Expected(one("clean-3.2-tcp"), "join, load, leave"),
    Expected(one("clean-6.12-tcp"), "join, load, leave"),
    Expected(one("ipv6-tcp"), "join, load, leave"),
    Expected(one("sctp-3.2"), "join, load, leave"),
    Expected(one("sctp-6.12"), "join, load, leave"),
    Expected(one("gfs2-2node"), "GFS2 used from both nodes"),
    Expected(one("gfs2-6.12"), "GFS2 used from both nodes"),
    Expected(one("mixed-6.1-6.12"), "join, load, leave"),
    Expected(one("two-spaces-3node"), "two lockspaces, three nodes"),
    Expected(one("netem-tcp"), "segments lost, doubled and reordered: TCP repairs it, DLM notices nothing"),
    Expected(("blackhole-tcp.n1.pcap",), "link cut for 12 s: TCP bridges it, both connections live on"),
    Expected(("blackhole-tcp.n2.pcap",), "the same from the other side"),
    Expected(("blackhole-tcp.n1.pcap", "blackhole-tcp.n2.pcap"), "both sides at once"),
    Expected(("sctp-multihome.net0.pcap", "sctp-multihome.net1.pcap"), "one path cut for 10 s: the other one serves"),
    Expected(("mid-capture.full.pcap",), "join, load, leave"),
]
"""The kernels logged no repeat, no dropped number and no dead connection: no reconnect, no finding."""

KILLED_AND_BACK = "events; node 3 boots twice, its second boot traces numbers from 0 on"
RESETS = "lab's list of RSTs and of changes of connection; traces: what the receiver took, and when"
RESENT = frozenset({"CON404", "SEQ204", "ACK303"})

EVENTFUL = [
    Expected(
        one("mixed-3.1-3.2"),
        "a 3.1 and a 3.2 kernel",
        told=(Told("VER605", (2, 1)),),
        known="node 2 logs `version 0x00030001 for node 1 detected`",
    ),
    Expected(
        one("mixed-3.1-6.12"),
        "a 3.1 and a 3.2 kernel",
        told=(Told("VER605", (2, 1)),),
        known="node 2 logs `version 0x00030001 for node 1 detected`",
    ),
    *(
        Expected(
            one(name),
            "node 3 killed; its comm made anew; it joins again",
            {(1, 3): ("reset",), (3, 1): ("reset",), (2, 3): ("reset",), (3, 2): ("reset",)},
            fresh_start((1, 3), (3, 1), (2, 3), (3, 2)),
            known=KILLED_AND_BACK,
        )
        for name in ("crash-3node", "crash-3node-6.12", "recovery-locks-3node")
    ),
    Expected(
        one("reboot-2node"),
        "node 2 killed and back unnoticed; node 1 goes on with its old numbers; its comm then made anew",
        {(1, 2): ("unsafe", "reset"), (2, 1): ("reset",)},
        (
            Told("CON401", (1, 2), numbers=(695, 703), frames=9),
            Told("SEQ207", (1, 2), findings=2),  # an error: only the receiver had restarted; then a warning: both
            *fresh_start((2, 1)),
            Told("CON408", (1, 2)),
            Told("CON406", (1, 2)),
            Told("FIN505", (2, 1)),
        ),
        frozenset({"SEQ204"}),
        "node 1 logs `retransmit` of 695–703, node 2 ignores them (`expected: 0`) and traces 0 only after the fresh "
        "comm; while its comm was gone node 2 was a stranger (`connect from non cluster … 10.77.0.2`)",
    ),
    Expected(
        one("rst-3.1-tcp"),
        "4 connections killed",
        {(1, 2): ("unsafe",) * 3, (2, 1): ("unsafe",)},
        (Told("CON401", (1, 2), findings=3), Told("CON401", (2, 1))),
        known="bytes that TCP had not acknowledged before the RST, counted in the packets",
    ),
    Expected(
        one("rst-3.2-tcp"),
        "5 connections killed, both directions move",
        {(1, 2): ("safe",) * 5, (2, 1): ("safe",) * 5},
        notes=RESENT | {"SEQ205"},
        known=RESETS,
    ),
    Expected(
        one("rst-oneside-3.2-tcp"),
        "3 connections killed at one end",
        {(1, 2): ("safe",) * 3, (2, 1): ("safe",) * 3},
        notes=RESENT,
        known=RESETS,
    ),
    Expected(
        one("rst-oneside-6.12-tcp"),
        "3 connections killed at one end",
        {(1, 2): ("safe",), (2, 1): ("safe",) * 3},
        notes=RESENT,
        known=RESETS,
    ),
    Expected(
        one("rst-6.12-tcp"),
        "5 connections killed; after the first, node 1 goes on behind 804–805",
        {(1, 2): ("unsafe", "safe"), (2, 1): ("safe",) * 5},
        (
            Told("CON401", (1, 2), numbers=(778, 805)),  # unconfirmed; repeated in the end: none is lost
            Told("SEQ211", (1, 2), numbers=(804, 804), frames=578),
        ),
        RESENT,
        f"{RESETS}: nothing between 803 and 804 for 2.45 s, while 806–1383 came",
    ),
    Expected(
        one("rst-stall-6.12-tcp"),
        "11 connections killed; after the last one node 1 goes on behind 15108–15109, for good",
        {(1, 2): ("safe",) * 4 + ("unsafe",), (2, 1): ("safe",) * 8},
        (
            Told("CON401", (1, 2), numbers=(15107, 15109), frames=2),
            Told("SEQ202", (1, 2), numbers=(15108, 15109), frames=2),
            Told("SEQ211", (1, 2), numbers=(15108, 15108), frames=467),
            Told("FIN501", (1, 2), numbers=(15576, 15576)),
        ),
        RESENT | {"SEQ205", "ACK305"},
        f"{RESETS}: node 2 takes 15107 last; each leave waits 5 s for the FIN (log)",
    ),
    Expected(
        one("forged-3.2-tcp"),
        "eleven forged frames, each over a connection of its own; a stranger connects",
        {(2, 1): ("safe",) * 3},
        (
            Told("SEQ210", (2, 1), numbers=None),
            Told("SEQ206", (2, 1), numbers=(5, 5)),
            Told("VER602", (2, 1), findings=2),  # the GRANT, and the UNLOCK with the wrong node id
            Told("VER601", (2, 1)),
            Told("FRM110", (2, 1)),
            Told("FRM103", (2, 1)),
            Told("FRM102", (2, 1), findings=2),  # version 4.0, and the garbage
            Told("FRM101", (2, 1), findings=2),  # lengths 65535 and 4
            Told("CAP905", (2, 1), findings=2),  # what lies behind them
            Told("ACK301", (1, 2)),
            Told("FRM109", (2, 1), findings=4),  # each forged UNLOCK and GRANT has an 8-byte LVB, the lockspace has 32
            Told("CON406", (1, None)),
        ),
        frozenset({"CON404"}),
        "events; node 1 logs its answers (`seq mismatch`, `unsupported h_cmd`, `version mismatch`, `invalid length` …)",
    ),
    Expected(
        ("big-3.2-tcp.n1.ring.pcap", "big-3.2-tcp.n1.ring.pcap1"),
        "10 000 messages a second; the machines fall behind",
        told=(Told("ACK304", (1, 2), findings=3), Told("ACK304", (2, 1), findings=2)),
        notes=frozenset({"ACK305"}),
        known="the file ends under load; `lab/walk.py`: so often 300 frames and 1 s went by without an ACK",
    ),
    Expected(
        ("big-3.2-tcp.n2.ring.pcap",),
        "its beginning, from node 2",
        notes=frozenset({"ACK305"}),
        known="the file ends under load; `lab/walk.py`: no such pause",
    ),
    Expected(
        ("mid-capture.mid.pcap",),
        "3 s out of the middle",
        notes=frozenset({"CAP903", "ACK305"}),
        known="the whole capture of the session has nothing to tell",
    ),
]

PARTIAL = {
    ("mid-capture.snap96.pcap",): "packets cut at 96 bytes",
    ("mid-capture.snap256.pcap",): "packets cut at 256 bytes",
    ("sctp-multihome.net0.pcap",): "one of two paths",
    ("sctp-multihome.net1.pcap",): "the other path",
}
"""Captures that miss much of sessions in which nothing happened: only CAP findings, and notes."""

ALL = QUIET + EVENTFUL


def lines() -> Iterator[str]:
    """docs/captures.md."""
    yield "# What analyze says about the real captures"
    yield ""
    yield "Worked out from what was done to the clusters (the events and forged RSTs in `captures/NAME.json`) and from"
    yield "what their kernels noted (traces and logs), not from what the program says; tests hold it against both."
    yield "[MANIFEST.md](../captures/MANIFEST.md) tells the stories, [findings.md](findings.md) what each code means."
    yield "Notes are not shown. Printed from tests/proof/expected.py."
    yield ""
    yield "## Nothing to tell"
    yield ""
    yield "No reconnect, no finding above `note`. The kernels logged no repeat, no dropped number, no dead connection."
    yield ""
    yield "| capture | what happened |"
    yield "|---|---|"
    for each in QUIET:
        yield f"| {_names(each.files)} | {each.happened} |"
    yield ""
    yield "## Something happened"
    yield ""
    yield "| capture | what happened | verdicts on reconnects | warnings and errors | known from |"
    yield "|---|---|---|---|---|"
    for each in EVENTFUL:
        verdicts = "; ".join(f"{low}→{high} {_run(verdicts)}" for (low, high), verdicts in each.verdicts.items())
        told = "<br>".join(map(str, each.told))
        cells = _names(each.files), each.happened, verdicts or "none", told or "none", each.known
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield "## Much is missing"
    yield ""
    yield "Only findings on the capture itself (CAP), since nothing happened in these sessions:"
    yield ""
    for files, missing in PARTIAL.items():
        yield f"* {_names(files)}: {missing}"


def _names(files: tuple[str, ...]) -> str:
    return " + ".join(f"`{file.removesuffix('.pcap')}`" for file in files)


def _run(verdicts: tuple[str, ...]) -> str:
    words: list[str] = []
    for verdict in dict.fromkeys(verdicts):
        count = verdicts.count(verdict)
        words.append(f"{count} × {verdict}" if count > 1 else verdict)
    return ", then ".join(words)


if __name__ == "__main__":
    print("\n".join(lines()))
