"""The analysis as text for people: the verdict, the reconnects, then the findings of each stream."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from dlmtrace.capture.packets import packet_number
from dlmtrace.findings.catalogue import CATALOGUE, SEVERITIES, severity
from dlmtrace.findings.outcome import Outcome
from dlmtrace.findings.verdicts import RULES
from dlmtrace.streams.results import Epoch, Finding, Range, Reconnect, Stream, Verdict
from dlmtrace.views.analysis import MOMENTS, Run
from dlmtrace.views.explanation import COLOURS
from dlmtrace.views.places import Places
from dlmtrace.views.prose import coloured, paragraph
from dlmtrace.views.terminal import BOLD, CYAN, RED, YELLOW, Terminal
from dlmtrace.views.times import SECOND
from dlmtrace.wire.names import escape

RANGES_SHOWN = 8
"""Ranges of numbers in one line; JSON has all."""

SAME_SHOWN = 20
"""Findings of one code that are shown of a stream; the others are counted, JSON has all."""

QUIET_SHOWN = 16
"""Streams without findings that are shown; the others are counted."""

VERDICTS: dict[Verdict, str] = {rule.verdict: rule.code for rule in RULES}
"""The finding that goes with each verdict."""
VERDICT_CODES = frozenset(VERDICTS.values())

ENDED = {"rst": "reset", "fin": "closed", "abandoned": "abandoned"}
"""How a connection ended."""


class AnalysisText:
    """Makes the lines."""

    def __init__(self, terminal: Terminal, places: Places) -> None:
        self._terminal = terminal
        self._places = places

    def report(self, run: Run, findings: Sequence[Finding]) -> Iterator[str]:
        """Everything about a run; of its findings, only ``findings`` one by one."""
        yield from self.summary(run)
        decided = {finding.evidence["reconnect"] for finding in findings if finding.code in VERDICT_CODES}
        reconnects = [reconnect for reconnect in run.analysis.reconnects if reconnect.reconnect in decided]
        if reconnects:
            yield ""
            yield self._terminal.line("Reconnects", BOLD)
            yield from map(self.reconnect, sorted(reconnects, key=lambda reconnect: int(reconnect.reconnect[1:])))
        yield from self._groups(run, [finding for finding in findings if finding.code not in VERDICT_CODES])
        hidden = run.outcome.total - len(findings)
        if hidden:
            yield ""
            yield f"{many(hidden, 'finding')} not shown."
        if findings:
            yield ""
            yield paragraph(
                "`dlmtrace explain CODE` tells what a finding means and what to do next, `dlmtrace streams FILE 1-2` "
                "what became of each number of stream 1→2.",
                self._terminal,
            )

    def summary(self, run: Run) -> Iterator[str]:
        """What was read, the verdict, and what there is of errors and warnings in which streams."""
        yield self._heading(run)
        yield ""
        yield from self._verdict(run)

    def _heading(self, run: Run) -> str:
        files = listed([self._places.file(number) for number in range(len(run.files))])
        packets = sum(file.packets for file in run.files)
        text = f"{files}: {many(packets, 'packet')}, {many(run.counts.total, 'frame')}"
        nodes = [self._places.node(number) for number in sorted(run.analysis.nodes.nodes)]
        if nodes:
            text += f" of nodes {listed(nodes)}"
        span = self._places.span()
        return paragraph(f"{text}, {span}" if span else text, self._terminal)

    def _verdict(self, run: Run) -> Iterator[str]:
        word, colour = headline(run.outcome)
        yield self._headed(word, f": {summary_line(run)}", BOLD + colour, "  ")
        streams: dict[tuple[int | None, int | None], list[str]] = {}
        for (sender, receiver, code), count in run.outcome.grave.items():
            name = CATALOGUE[code].name
            streams.setdefault((sender, receiver), []).append(name if count == 1 else f"{name} ({count})")
        for pair, names in list(streams.items())[:RANGES_SHOWN]:
            where = "beside the streams" if pair == (None, None) else self._places.stream(*pair)
            yield paragraph(f"{where}: {', '.join(names)}", self._terminal, "  ", "    ")

    def reconnect(self, reconnect: Reconnect) -> str:
        """One reconnect."""
        text = f"{self._places.stream(reconnect.sender, reconnect.receiver)} {reconnect.old_connection} "
        text += (
            f"{ENDED[reconnect.ended_by]} {self._places.moment(reconnect.ended)}{self._packet(reconnect.ended_packet)}"
        )
        if reconnect.resumed is not None:
            later = (reconnect.resumed - reconnect.ended) / SECOND
            text += f", on {reconnect.new_connection} after {later:.6f} s{self._packet(reconnect.resumed_packet)}"
        text += f": {reconnect.reason}"
        for title, ranges in (
            ("unconfirmed", reconnect.unconfirmed),
            ("sent again", reconnect.resent),
            ("lost", reconnect.lost),
        ):
            if ranges:
                text += f"; {title} {numbers(ranges)}"
        verdict = reconnect.verdict
        head = f"  {reconnect.reconnect:4} {VERDICTS[verdict]} {verdict:12}"
        return self._headed(head, text, COLOURS[CATALOGUE[VERDICTS[verdict]].severity], "       ")

    def _groups(self, run: Run, findings: Sequence[Finding]) -> Iterator[str]:
        groups: dict[tuple[int | None, int | None], list[Finding]] = {}
        for finding in findings:
            groups.setdefault((finding.sender, finding.receiver), []).append(finding)
        quiet = 0
        for stream in run.streams:
            found = groups.pop((stream.sender, stream.receiver), [])
            quiet += not found
            if found or quiet <= QUIET_SHOWN:
                yield ""
                yield from self._stream(stream)
                yield from self._listed(found)
        if quiet > QUIET_SHOWN:
            yield ""
            yield f"{many(quiet - QUIET_SHOWN, 'more stream')} without findings."
        rest = [finding for found in groups.values() for finding in found]
        if rest:
            yield ""
            yield self._terminal.line("Beside the streams", BOLD)
            yield from self._listed(rest)

    def _listed(self, findings: Sequence[Finding]) -> Iterator[str]:
        """The gravest first; of the same code only so many."""
        counts = Counter(finding.code for finding in findings)
        shown: Counter[str] = Counter()
        for finding in sorted(findings, key=lambda finding: SEVERITIES.index(severity(finding))):
            code = finding.code
            shown[code] += 1
            if shown[code] <= SAME_SHOWN:
                yield self.finding(finding)
            elif shown[code] == counts[code]:
                yield f"          {code} and {counts[code] - SAME_SHOWN} more of them"

    def _stream(self, stream: Stream) -> Iterator[str]:
        name = f"Stream {self._places.stream(stream.sender, stream.receiver)}"
        text = f"{many(stream.frames, 'frame')}"
        if stream.version:
            text += f" of protocol {stream.version}"
        if stream.connections:
            text += f" on {listed(stream.connections)}"
        yield self._headed(name, f": {text}", BOLD, "  ")
        for epoch in stream.epochs:
            yield paragraph(describe(epoch), self._terminal, "  ", "    ")
        if not stream.epochs:
            yield "  no sequence numbers"

    def finding(self, finding: Finding, alone: bool = False) -> str:
        """One finding; ``alone``: not below the heading of its stream."""
        entry, level = CATALOGUE[finding.code], severity(finding)
        place = (
            f" {self._places.stream(finding.sender, finding.receiver)}" if alone and finding.sender is not None else ""
        )
        place += "" if finding.time is None else f" {self._places.moment(finding.time)}"
        place += self._packet(finding.packet)
        if finding.connection:
            place += f" {finding.connection}"
        text = f"{place}: {finding.message}{self.evidence(finding)}"
        return self._headed(f"  {level:7} {entry.code} {entry.name}", text, COLOURS[level], "      ")

    def remark(self, finding: Finding) -> str:
        """One finding in one line for a place where its packet is known."""
        entry = CATALOGUE[finding.code]
        stream = "" if finding.sender is None else f" {self._places.stream(finding.sender, finding.receiver)}"
        connection = f" {finding.connection}" if finding.connection else ""
        told = escape(finding.message + self.evidence(finding))
        return f"{severity(finding)} {entry.code} {entry.name}{stream}{connection}: {told}"

    def evidence(self, finding: Finding) -> str:
        """What the message does not say already."""
        told = []
        if finding.seq_first is not None and finding.seq_last is not None:
            told.append(numbers([(finding.seq_first, finding.seq_last)]))
        for key, value in finding.evidence.items():
            if key in MOMENTS:
                told.append(f"{key} {self._places.moment(value)}")
            elif key.endswith("_ns") and value is not None:
                told.append(f"{key.removesuffix('_ns')} {value / SECOND:.6f} s")
            elif value is not None and not _is_only_packet(finding, key):
                told.append(f"{key} {value}")
        message = finding.message.replace("–", "-")
        new = [text for text in told if not re.search(rf"\b{re.escape(text)}\b", message)]
        return f" ({', '.join(new).replace('_', ' ')})" if new else ""

    def _headed(self, head: str, text: str, colour: str, further: str) -> str:
        """``text`` behind a coloured ``head`` that is never broken; control characters in it do no harm."""
        line = paragraph(
            escape(text) if text[:1] == ":" else f" {escape(text.lstrip())}", self._terminal, head, further
        )
        return coloured(head, colour, self._terminal) + line[len(head) :]

    def _packet(self, identity: int | None) -> str:
        return "" if identity is None else f" packet {self._places.packet(identity)}"


def _is_only_packet(finding: Finding, key: str) -> bool:
    """Is this the last packet of a finding that has but one?"""
    first = finding.packet
    return key == "last_packet" and first is not None and finding.evidence[key] == packet_number(first)


def headline(outcome: Outcome) -> tuple[str, str]:
    """The verdict in a word, and its colour."""
    if outcome.errors:
        return "ERRORS", RED
    words = {"inconclusive": ("UNDECIDED", YELLOW), "findings": ("WARNINGS", YELLOW), "clean": ("CLEAN", CYAN)}
    return words[outcome.verdict]


def summary_line(run: Run) -> str:
    """How much of what was found."""
    outcome, verdicts = run.outcome, run.analysis.verdicts
    if outcome.empty:
        return "there is no DLM in this capture"
    counts = ((outcome.errors, "error"), (outcome.warnings, "warning"), (outcome.notes, "note"))
    text = ", ".join(many(count, noun) for count, noun in counts if count) or "nothing found"
    if verdicts:
        told = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in VERDICTS if verdicts[verdict])
        text += f"; {many(verdicts.total(), 'reconnect')}: {told}"
    return text


def describe(epoch: Epoch) -> str:
    """What became of the numbers of an epoch."""
    sent = epoch.frames - epoch.duplicates
    text = f"numbers {epoch.seq_first}-{epoch.seq_last}: {sent} sent, {epoch.delivered} delivered"
    if epoch.confirmed_to is not None:
        text += f", highest ACK {epoch.confirmed_to}"
    if epoch.duplicates:
        causes = ", ".join(f"{count} {cause}" for cause, count in sorted(epoch.resends.items()))
        text += f", {epoch.duplicates} came again{f' ({causes})' if causes else ''}"
    if epoch.missing:
        text += f", never seen {numbers(epoch.missing)}"
    return text + {"fin": "; ended by FIN", "restart": "; numbers restarted", "open": ""}[epoch.ended_by]


def numbers(ranges: Sequence[Range]) -> str:
    """``7, 9-12``; more than RANGES_SHOWN are only counted."""
    text = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges[:RANGES_SHOWN])
    more = len(ranges) - RANGES_SHOWN
    return f"{text} and {many(more, 'range')} more" if more > 0 else text


def listed(names: Sequence[str]) -> str:
    """Names, only counted beyond the first RANGES_SHOWN."""
    more = len(names) - RANGES_SHOWN
    return ", ".join(names[:RANGES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def many(count: int, noun: str) -> str:
    """``1 frame``, ``2 frames``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
