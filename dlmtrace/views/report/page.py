"""The page: verdict, cluster, graphs, reconnects, findings, termination, capture."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files

from dlmtrace import __version__
from dlmtrace.findings.catalogue import CATALOGUE, SEVERITIES, severity
from dlmtrace.streams.collector import Collector
from dlmtrace.streams.results import Finding, Reconnect, Stream
from dlmtrace.views.analysis import Run, connection_records, node_records
from dlmtrace.views.analysis_text import ENDED, AnalysisText, describe, many, numbers
from dlmtrace.views.graph import Graph, closeup, graph
from dlmtrace.views.graph_svg import DARK, LIGHT, RULES
from dlmtrace.views.places import Places
from dlmtrace.views.report.cluster import cluster, state_of
from dlmtrace.views.report.graphs import Graphs, sparse
from dlmtrace.views.report.markup import Markup, element, joined, prose, row, table, text
from dlmtrace.views.report.verdict import verdict
from dlmtrace.views.terminal import Terminal
from dlmtrace.views.times import SECOND

POINTS, MARKS, NAMES = 50_000, 6_000, 500_000
"""Points and marks of all graphs together, and characters of the names of their frames: some 3 MB."""

DRAWN = 3000
"""Reconnects whose losses and doubts are in the graphs, unsafe ones first."""

CLOSEUPS, CLOSEUP_POINTS = 60, 400
"""Reconnects that are drawn, unsafe ones first, and points of each."""

GRAPHS, RECONNECTS, FINDINGS, CONNECTIONS = 64, 300, 1500, 200
"""What the page shows one by one; the rest is counted, and analyze tells it."""

_GRAVITY = {"unsafe": 0, "inconclusive": 1, "unprotected": 2, "reset": 3, "safe": 4}


@dataclass(frozen=True, slots=True)
class Report:
    """What the page is made of.  ``findings`` come gravest first."""

    run: Run
    collector: Collector
    findings: Sequence[Finding]
    places: Places


def page(report: Report) -> str:
    """The HTML."""
    room = files(__package__)
    script = room.joinpath("page.js").read_text("utf-8")
    colours = "".join(f"--{name}:{value};" for name, value in LIGHT.items())
    dark = "".join(f"--{name}:{value};" for name, value in DARK.items())
    style = f":root{{{colours}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
    style += f"@media print{{:root{{{colours}}}}}" + room.joinpath("page.css").read_text("utf-8") + RULES
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    names = ", ".join(report.places.file(number) for number in range(len(report.run.files)))
    head = (
        Markup('<meta charset="utf-8">'),
        element("title", text(f"DLM: {names}")),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup('<meta name="color-scheme" content="light dark">'),
        Markup('<link rel="icon" href="data:,">'),
        element("style", Markup(style)),
    )
    body = element("body", *_Page(report, names).sections(), element("script", Markup(script)))
    return f'<!DOCTYPE html>\n<html lang="en"><head>{joined(head)}</head>{body}</html>\n'


def _hash(content: str) -> str:
    """As the policy names what may run and style: the digest of its text."""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


class _Page:
    def __init__(self, report: Report, names: str) -> None:
        self._run, self._places, self._names = report.run, report.places, names
        self._findings = report.findings
        self._text = AnalysisText(Terminal(), report.places)
        reconnects = report.run.analysis.reconnects
        self._reconnects = sorted(reconnects, key=lambda each: (_GRAVITY[each.verdict], int(each.reconnect[1:])))
        drawable = [series for series in report.collector.series if len(series.points)]
        grave = {(sender, receiver) for sender, receiver, _ in report.run.outcome.grave}
        drawable.sort(key=lambda each: (each.sender, each.receiver) not in grave)
        self._hidden_graphs = max(len(drawable) - GRAPHS, 0) + report.collector.more_streams
        rows = list(enumerate(self._findings[:FINDINGS]))
        shown = max(len(drawable[:GRAPHS]), 1)
        self._graphs: dict[tuple[int, int], Graph] = {
            (series.sender, series.receiver): graph(
                series, self._places, POINTS // shown, MARKS // shown, self._reconnects[:DRAWN], rows
            )
            for series in drawable[:GRAPHS]
        }
        self._figures = Graphs(
            report.collector.texts.texts, [self._places.file(n) for n in range(len(self._run.files))], NAMES
        )

    def sections(self) -> Iterator[Markup]:
        """Everything from above."""
        yield self._head()
        parts = [
            element("section", element("h2", text(title)), *content, id=identity)
            for identity, title, content in (
                ("cluster", "Cluster", list(self._cluster())),
                ("streams", "Streams", list(self._streams())),
                ("reconnects", "Reconnects", list(self._reconnections())),
                ("findings", "Findings", list(self._finding_table())),
                ("termination", "Termination", list(self._termination())),
                ("capture", "Capture", list(self._capture())),
            )
            if content
        ]
        yield element("main", *parts)
        yield element(
            "footer", element("p", text(f"Made by dlmtrace {__version__} from {self._names}. Times are UTC."))
        )
        yield element("div", id="told", role="status", hidden="")

    def _head(self) -> Markup:
        found = verdict(self._run, self._findings, self._places)
        packets = sum(file.packets for file in self._run.files)
        span = self._places.span()
        read = f"{many(packets, 'packet')}, {many(self._run.counts.total, 'frame')}" + (f", {span}" if span else "")
        advice = [
            element("li", element("b", text(f"{code} {CATALOGUE[code].name}: ")), prose(sentence))
            for code, sentence in found.advice
        ]
        what = element("div", element("h2", text("What to do")), element("ul", *advice), class_="advice")
        return element(
            "header",
            element("p", text(self._names), class_="files"),
            element("h1", element("span", text(found.word), class_="word"), Markup(" "), text(found.sentence)),
            element("p", text(found.counts), class_="counts"),
            element("p", text(read), class_="read"),
            *([what] if advice else []),
            class_=f"verdict {found.word.lower()}",
        )

    def _cluster(self) -> Iterator[Markup]:
        nodes = sorted(self._run.analysis.nodes.nodes)
        if not nodes:
            return
        yield cluster(nodes, self._run.streams, self._findings, self._places)
        columns = ("node", "addresses", "versions", "frames sent")
        rows = (
            row(
                columns,
                (
                    text(self._places.node(record["node"])),
                    text(", ".join(record["addresses"])),
                    text(", ".join(f"{name} ({count})" for name, count in record["versions"].items())),
                    text(str(record["frames_sent"])),
                ),
            )
            for record in list(node_records(self._run))[:CONNECTIONS]
        )
        yield table(columns, rows)

    def _streams(self) -> Iterator[Markup]:
        by_pair = {(stream.sender, stream.receiver): stream for stream in self._run.streams}
        yield _LEGEND
        for pair, whole in self._graphs.items():
            stream = by_pair.get(pair)
            yield element("h3", *self._stream_title(stream, whole))
            figure = self._figures.figure(whole, f"g{pair[0]}-{pair[1]}", 1080, 420, len(self._graphs) + 1)
            yield figure
            for epoch in stream.epochs if stream is not None else ():
                yield element("p", text(describe(epoch)), class_="epoch")
            if whole.unplaced:
                words = f"{many(whole.unplaced, 'frame')} with a nonsensical number (SEQ210) not drawn"
                yield element("p", text(words), class_="epoch")
        if self._hidden_graphs:
            yield element("p", text(f"{many(self._hidden_graphs, 'more stream')}: see dlmtrace graph."))

    def _stream_title(self, stream: Stream | None, whole: Graph) -> Iterator[Markup]:
        yield text(whole.name)
        if stream is not None:
            state = state_of(stream, self._findings)
            yield element("span", text(state.words), class_=f"badge {state.level or 'quiet'}")
            version = f"protocol {stream.version}, " if stream.version else ""
            yield element("small", text(f"{version}{many(stream.frames, 'frame')}"))

    def _reconnections(self) -> Iterator[Markup]:
        for place, reconnect in enumerate(self._reconnects[:RECONNECTS]):
            whole = self._graphs.get((reconnect.sender, reconnect.receiver))
            drawn: list[Markup] = []
            if whole is not None and place < CLOSEUPS:
                near = sparse(closeup(whole, reconnect), CLOSEUP_POINTS)
                drawn = [self._figures.figure(near, reconnect.reconnect, 560, 300, 4 * CLOSEUPS)]
            yield element("article", self._judged(reconnect), *drawn, class_="reconnect")
        more = len(self._reconnects) - RECONNECTS
        if more > 0:
            yield element("p", text(f"{many(more, 'more reconnect')}: see dlmtrace analyze."))

    def _judged(self, reconnect: Reconnect) -> Markup:
        name = f"{reconnect.reconnect} {self._places.stream(reconnect.sender, reconnect.receiver)}"
        badge = element("span", text(reconnect.verdict), class_=f"badge {_LEVELS[reconnect.verdict]}")
        moment = self._where(reconnect.ended, reconnect.ended_packet)
        ended = f"{reconnect.old_connection} {ENDED[reconnect.ended_by]}, {moment}"
        went_on = "nowhere"
        if reconnect.resumed is not None:
            later = f"{(reconnect.resumed - reconnect.ended) / SECOND:.6f} s later"
            went_on = f"{reconnect.new_connection}, {later}, {self._where(reconnect.resumed, reconnect.resumed_packet)}"
        facts = [("ended", ended), ("went on", went_on)]
        ranges = (
            ("unconfirmed", reconnect.unconfirmed),
            ("sent again", reconnect.resent),
            ("lost", reconnect.lost),
        )
        facts += [(title, numbers(each)) for title, each in ranges if each]
        listed = joined(joined((element("dt", text(title)), element("dd", text(words)))) for title, words in facts)
        reason = reconnect.reason[:1].upper() + reconnect.reason[1:] + "."
        return element("div", element("h3", text(name), badge), element("p", text(reason)), element("dl", listed))

    def _where(self, time: int, packet: int | None) -> str:
        moment = self._places.moment(time)[11:]
        return moment if packet is None else f"{moment}, packet {self._places.packet(packet)}"

    def _finding_table(self) -> Iterator[Markup]:
        shown = self._findings[:FINDINGS]
        if not shown:
            yield element("p", text("None."))
            return
        levels = [
            element("label", Markup(f'<input type="checkbox" value="{level}" checked> '), text(level))
            for level in SEVERITIES
        ]
        pairs = dict.fromkeys(
            self._places.stream(each.sender, each.receiver) for each in shown if each.sender is not None
        )
        options = [element("option", text(name), value=name) for name in pairs]
        yield element(
            "form",
            Markup('<input type="search" placeholder="Filter: code, text, packet …" aria-label="Filter">'),
            element("select", element("option", text("all streams"), value=""), *options, aria_label="Stream"),
            element("span", *levels, class_="levels"),
            element("output", text(many(len(shown), "finding"))),
            class_="filter",
        )
        columns = ("severity", "finding", "stream", "time", "packet", "what", "")
        yield table(columns, (self._finding_row(columns, *each) for each in enumerate(shown)), class_="findings")
        if len(self._findings) > FINDINGS:
            yield element("p", text(f"{many(len(self._findings) - FINDINGS, 'more finding')}: see dlmtrace analyze."))

    def _finding_row(self, columns: Sequence[str], number: int, finding: Finding) -> Markup:
        level, entry = severity(finding), CATALOGUE[finding.code]
        stream = "" if finding.sender is None else self._places.stream(finding.sender, finding.receiver)
        link = Markup("")
        drawn = (
            self._graphs.get((finding.sender, finding.receiver))
            if finding.sender is not None and finding.receiver is not None
            else None
        )
        if drawn is not None and finding.time is not None:
            at = (finding.time - drawn.start) // 1000
            link = element("a", text("graph"), href=f"#g{finding.sender}-{finding.receiver}", class_="show", data_at=at)
        cells = (
            element("span", text(level), class_=f"badge {level}"),
            joined((element("b", text(finding.code)), Markup(" "), text(entry.name))),
            text(stream),
            text("" if finding.time is None else self._places.moment(finding.time)[11:]),
            text("" if finding.packet is None else self._places.packet(finding.packet)),
            text(
                (f"{finding.connection}: " if finding.connection else "")
                + finding.message
                + self._text.evidence(finding)
            ),
            link,
        )
        return row(columns, cells, id=f"f{number}", data_level=level, data_stream=stream)

    def _termination(self) -> Iterator[Markup]:
        numbered = {(stream.sender, stream.receiver) for stream in self._run.streams if stream.epochs}
        leaves = [each for each in self._run.analysis.leaves() if (each.node, each.peer) in numbered]
        if not leaves:
            return
        columns = ("node", "towards", "state", "its FIN", "packet", "sent", "confirmed", "waits for")
        rows = (
            row(
                columns,
                (
                    text(self._places.node(each.node)),
                    text(self._places.node(each.peer)),
                    element("b", text(each.state)),
                    text("none" if each.fin is None else str(each.fin)),
                    text("" if each.fin_packet is None else self._places.packet(each.fin_packet)),
                    text("" if each.fin_time is None else self._places.moment(each.fin_time)[11:]),
                    text("" if each.confirmed is None else self._places.moment(each.confirmed)[11:]),
                    text(each.waits_for or ""),
                ),
            )
            for each in leaves[:CONNECTIONS]
        )
        yield table(columns, rows)

    def _capture(self) -> Iterator[Markup]:
        lost: dict[str, list[Finding]] = {}
        for finding in self._findings:
            if finding.code.startswith("CAP"):
                lost.setdefault(finding.code, []).append(finding)
        for code, found in lost.items():
            badge = element("span", text(CATALOGUE[code].name), class_=f"badge {severity(found[0])}")
            more = f", and {len(found) - 1} more" if len(found) > 1 else ""
            yield element("p", badge, Markup(" "), text(found[0].message + more))
        if not lost:
            yield element(
                "p",
                text("Nothing is missing as far as the capture shows: no hole, no cut packet, no packet undecoded."),
            )
        columns = ("file", "format", "packets", "bytes", "first packet", "last packet")
        moments = [(file.first_time, file.last_time) for file in self._run.files]
        rows = (
            row(
                columns,
                (
                    text(self._places.file(number)),
                    text(file.format),
                    text(str(file.packets)),
                    text(str(file.bytes)),
                    *(text("" if moment is None else self._places.moment(moment)) for moment in moments[number]),
                ),
            )
            for number, file in enumerate(self._run.files)
        )
        yield table(columns, rows)
        records = list(connection_records(self._run))
        names = ("conn", "client", "server", "opened", "ended by", "bytes", "hole bytes", "TCP resent", "out of order")
        lines = (
            row(
                names,
                (
                    text(record["connection"]),
                    text(record["client"]),
                    text(record["server"]),
                    text(record["opened"][11:26]),
                    text(record["ended_by"]),
                    *(
                        text(" + ".join(str(side[key]) for side in record["directions"]))
                        for key in ("bytes", "hole_bytes", "tcp_retransmitted_bytes", "tcp_out_of_order")
                    ),
                ),
            )
            for record in records[:CONNECTIONS]
        )
        yield table(names, lines)
        if len(records) > CONNECTIONS:
            yield element("p", text(f"{many(len(records) - CONNECTIONS, 'more connection')}: see dlmtrace info."))


_LEVELS = {"unsafe": "error", "inconclusive": "warning", "unprotected": "warning", "reset": "warning", "safe": "quiet"}

_LEGEND = element(
    "p",
    *(
        element("span", Markup(words), class_=f"key {name}")
        for name, words in (
            ("sent", "sent"),
            ("again", "sent again"),
            ("ack", "acknowledged"),
            ("lost", "lost"),
            ("doubt", "unconfirmed when the connection ended"),
            ("stall", "receiver stood still"),
            ("RST", "RST"),
        )
    ),
    element(
        "span",
        Markup("Point at a frame for its packet; drag to move, Ctrl and wheel or two fingers to zoom."),
        class_="hint",
    ),
    class_="legend",
)
