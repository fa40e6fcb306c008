"""The report in a real browser: what it says, how it fits, and that it keeps to itself."""

from collections.abc import Callable
from pathlib import Path

import pytest
from browser_window import Browser
from evidence import scenario

from dlmtrace.cli.report import report as write_report
from dlmtrace.craft import Network, ack, opts, request, status, status_reply

REPORTED = ("rst-6.12-tcp.pcap", "rst-stall-6.12-tcp.pcap", "crash-3node.pcap", "rst-3.1-tcp.pcap", "sctp-3.2.pcap")
Report = Callable[[str], Path]

HOSTILE = b"<script>document.title='taken'</script>"
CLOSING = b"</script><img src=x onerror=alert(1)>"
BYTES = b"\x00\xff\\" + "\u202e".encode()


# What it says.


def test_the_verdict_stands_at_the_top_with_what_to_do(browser: Browser, report: Report) -> None:
    browser.open(report("rst-6.12-tcp.pcap"))
    # the receiver expected 804 and 2.45 s passed until the next reset: captures/MANIFEST.md, item 12
    assert browser.text("h1").startswith(
        "ERRORS The lock service was or will be damaged: on 1→2 the receiver waited 2.45"
    )
    assert "for 804" in browser.text("h1")
    assert "/sys/kernel/debug/dlm/LOCKSPACE_waiters" in browser.text(".advice")


def test_a_capture_in_which_nothing_went_wrong_says_so(browser: Browser, report: Report) -> None:
    browser.open(report("clean-3.2-tcp.pcap"))
    assert browser.text("h1") == "CLEAN Nothing went wrong between the nodes 1, 2."
    assert browser.texts(".advice") == []


def test_the_drawing_has_nodes_streams_versions_and_states(browser: Browser, report: Report) -> None:
    browser.open(report("rst-6.12-tcp.pcap"))
    assert browser.texts(".cluster .node") == ["1", "2"]
    assert browser.texts(".cluster .label") == ["1→2 · 3.2 · stalled-stream +1", "2→1 · 3.2 · ended by FIN"]


def test_each_reconnect_has_its_verdict_beside_its_graph(browser: Browser, report: Report) -> None:
    browser.open(report("rst-stall-6.12-tcp.pcap"))
    first = browser.text(".reconnect")  # the unsafe one: captures/MANIFEST.md, item 12
    assert first.startswith("r13 1→2\nunsafe\n2 unconfirmed frames were not sent again")
    assert "lost\n15108-15109" in first
    drawn = browser.run(
        "return [...document.querySelectorAll('.reconnect')].map(each => each.querySelectorAll('figure > svg').length)"
    )
    assert set(drawn) == {1}
    assert len(drawn) == 13


def test_the_termination_table_has_what_each_node_waits_for(browser: Browser, report: Report) -> None:
    browser.open(report("rst-stall-6.12-tcp.pcap"))
    rows = browser.texts("#termination tbody tr")
    assert rows[0].startswith("1 2 LAST_ACK 15576 39713")
    assert rows[0].endswith("the ACK of its FIN")
    assert "FIN_WAIT2" in rows[1]


def test_what_the_capture_misses_is_told(browser: Browser, report: Report) -> None:
    browser.open(report("mid-capture.snap96.pcap"))
    # snap96: tcpdump kept 96 bytes of each packet
    told = browser.texts("#capture .badge")
    assert "truncated-packet" in told
    assert len(told) == len(set(told))
    browser.open(report("rst-6.12-tcp.pcap"))
    assert "Nothing is missing as far as the capture shows" in browser.text("#capture")


# The table of findings.


def test_the_filter_leaves_what_fits(browser: Browser, report: Report) -> None:
    browser.open(report("rst-stall-6.12-tcp.pcap"))
    rows = "#findings tbody tr"
    every = browser.texts(rows)
    assert browser.text(".filter output") == f"{len(every)} findings"
    browser.write(".filter [type=search]", "con404 2→1")
    fitting = [text for text in every if "CON404" in text and "2→1" in text]
    assert browser.texts(rows) == fitting
    assert 0 < len(fitting) < len(every)
    assert browser.text(".filter output") == f"{len(fitting)} of {len(every)} findings"
    browser.write(".filter [type=search]", "")
    browser.click(".filter [value=note]")
    assert browser.texts(rows) == [text for text in every if not text.startswith("note")]
    browser.choose(".filter select", "2→1")
    assert browser.texts(rows) == []


def test_a_finding_leads_to_its_place_in_the_graph(browser: Browser, report: Report) -> None:
    browser.open(report("rst-stall-6.12-tcp.pcap"))
    browser.write(".filter [type=search]", "SEQ202")
    browser.click("#findings tbody tr:not([hidden]) a.show")
    shown = browser.run("return [scrollY > 0, document.querySelectorAll('#g1-2 .cursor').length]")
    assert shown == [True, 1]
    from_, until = browser.run("const plot = plots.get('g1-2'); return plot.times().map(time => time + plot.data.day)")
    moment = (5 * 3600 + 53 * 60 + 49.416985) * 1e6  # of packet 38705, which the finding names
    assert from_ < moment < until
    assert until - from_ < 4e6  # of 40 s


def test_a_finding_in_the_graph_leads_to_the_table(browser: Browser, report: Report) -> None:
    browser.open(report("rst-stall-6.12-tcp.pcap"))
    browser.write(".filter [type=search]", "nothing has this")
    target = browser.run("return location.hash = document.querySelector('#g1-2 a').getAttribute('href')")
    browser.wait("return !document.querySelector(arguments[0]).hidden", target)
    assert browser.text(target).startswith(("error", "warning"))


# How it fits.


@pytest.mark.parametrize("file", REPORTED)
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(browser: Browser, report: Report, file: str, width: int) -> None:
    browser.open(report(file), width=width)
    browser.alive(browser.run("return document.querySelector('figure').id"))
    assert browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    graph = browser.run("return document.querySelector('figure svg').getBoundingClientRect().width")
    assert 0.85 * min(width, 1128) < graph <= width


def test_the_page_is_light_or_dark_as_the_reader_prefers(browser: Browser, report: Report) -> None:
    ink = "return getComputedStyle(document.body).color"
    paper = "return getComputedStyle(document.body).backgroundColor"
    browser.open(report("rst-6.12-tcp.pcap"), scheme="light")
    light = browser.run(ink), browser.run(paper)
    browser.open(report("rst-6.12-tcp.pcap"), scheme="dark")
    dark = browser.run(ink), browser.run(paper)
    assert light[1] == "rgb(255, 255, 255)"
    assert brightness(light[0]) < 50 < 200 < brightness(dark[0])
    assert brightness(dark[1]) < 50


def brightness(colour: str) -> float:
    """0 … 255 of ``rgb(r, g, b)``."""
    return sum(map(int, colour[4:-1].split(","))) / 3


def test_on_paper_there_are_graphs_and_no_buttons(browser: Browser, report: Report) -> None:
    browser.open(report("rst-6.12-tcp.pcap"), scheme="dark", media="print")
    assert brightness(browser.run("return getComputedStyle(document.body).backgroundColor")) == 255
    assert browser.texts(".tools, .filter, a.show") == []
    pages = browser.printed()
    assert 3 <= pages <= 12


# It keeps to itself.


@pytest.mark.parametrize("file", REPORTED)
def test_no_request_leaves_the_page_and_nothing_complains(browser: Browser, report: Report, file: str) -> None:
    page = report(file)
    browser.open(page)
    for figure in browser.run("return [...document.querySelectorAll('figure')].map(each => each.id)"):
        browser.alive(figure)
    assert set(browser.requests()) <= {page.as_uri(), "data:,"}
    assert browser.requests() == []  # none came since
    assert browser.complaints() == []


def test_the_policy_stops_what_does_not_belong_to_the_page(browser: Browser, report: Report) -> None:
    browser.open(report("rst-6.12-tcp.pcap"))
    browser.run(
        "const script = document.createElement('script'); script.textContent = 'document.title = `taken`';"
        "document.body.append(script); const image = new Image(); image.src = 'https://192.0.2.1/x.png';"
        "document.body.append(image);"
    )
    browser.wait("return true")
    assert "taken" not in browser.driver.title
    assert any("Content Security Policy" in complaint for complaint in browser.complaints())
    assert not [address for address in browser.requests() if address.startswith("https")]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (HOSTILE, "<script>document.title='taken'</script>"),
        (CLOSING, "</script><img src=x onerror=alert(1)>"),
        (BYTES, r"\x00\xff\\\xe2\x80\xae"),
    ],
)
def test_names_from_the_wire_and_elsewhere_stay_text(browser: Browser, tmp_path: Path, name: bytes, shown: str) -> None:
    capture, page = tmp_path / "<img src=x onerror=alert(2)>.pcap", tmp_path / "report.html"
    names = tmp_path / "names"
    names.write_text("1 <b>one</b>\n")
    with Network(capture) as network:
        one, two = network.node(1, "10.0.0.1"), network.node(2, "10.0.0.2")
        connection = network.connect(one, two)
        connection.send(one, status(sender=1))
        connection.send(two, status_reply(sender=2))
        connection.send(one, opts(0, request(name, sender=1)))
        connection.send(two, ack(1, sender=2))
    write_report([str(capture)], page, nodes=names)
    browser.open(page)
    browser.alive("g1-2")
    first = browser.run("const {t, day} = plots.get('g1-2').data; return t[0] + day")
    told = browser.point_at("g1-2", first, 0)
    assert f"OPTS/MSG REQUEST {shown}" in told.splitlines()
    assert "packet 8" in told  # SYN, SYN ACK, ACK, STATUS, its ACK, the reply, its ACK, and this
    assert browser.run("return document.querySelectorAll('img, #cluster td b').length") == 0
    assert "<b>one</b>" in browser.text("#cluster")
    assert "<img src=x onerror=alert(2)>.pcap" in browser.text(".files")
    assert "taken" not in browser.driver.title
    assert browser.complaints() == []


def test_without_dlm_there_is_a_page_that_says_so(browser: Browser, tmp_path: Path) -> None:
    capture, page = tmp_path / "web.pcap", tmp_path / "web.html"
    with Network(capture) as network:
        connection = network.connect(network.node(1, "10.0.0.1"), network.node(2, "10.0.0.2"), port=80)
        connection.close()
    write_report([str(capture)], page)
    browser.open(page)
    assert browser.text("h1") == "UNDECIDED There is no DLM in this capture."
    assert browser.complaints() == []


def test_the_number_of_resets_is_that_of_the_injector(browser: Browser, report: Report) -> None:
    browser.open(report("rst-6.12-tcp.pcap"))
    labels = browser.run("return [...document.querySelectorAll('#g1-2 .tag.RST')].map(each => each.textContent)")
    assert len(set(labels)) == len(scenario("rst-6.12-tcp")["rst"])
