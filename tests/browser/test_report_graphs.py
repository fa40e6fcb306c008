"""The graphs of the report: pointing, zooming and moving with a real mouse."""

import re
from collections.abc import Callable
from pathlib import Path

from browser_window import Browser

from dlmtrace.cli.report import report as write_report
from dlmtrace.craft import Network, ack, opts, request

Report = Callable[[str], Path]

SECOND = 1e6
DAY_19_000 = 19_000 * 86_400 * 10**9
TEXTS = "return [...document.querySelectorAll(arguments[0])].map(each => each.textContent)"


def zoomed(browser: Browser, figure: str) -> list[float]:
    """Microseconds at the left and the right edge, counted from the beginning."""
    browser.alive(figure)
    times: list[float] = browser.run("return plots.get(arguments[0]).times()", figure)
    return times


def plot_box(browser: Browser) -> tuple[float, float, float]:
    """Where the plot of 1→2 begins in the window, and how wide it is."""
    left, top, width = browser.run(
        "const {left, top, width} = document.querySelector('#g1-2 .edge').getBoundingClientRect();"
        "return [left, top, width]"
    )
    return left, top, width


def test_pointing_at_a_frame_tells_its_packet(browser: Browser, report: Report) -> None:
    # README, quick start: after the RST packet 1599 of rst-3.2-tcp sends 797 again, on c4, 2.868248 s after the first
    page = report("rst-3.2-tcp.pcap")
    browser.open(page)
    start = browser.run("return document.querySelector('.read').textContent").split("T")[1].split("Z")[0]
    hours, minutes, seconds = start.split(":")
    first = (int(hours) * 3600 + int(minutes) * 60 + float(seconds)) * SECOND
    told = browser.point_at("r1", first + 2.868248 * SECOND, 797).splitlines()
    assert told[:3] == ["packet 1599", "797 sent again", "OPTS/MSG CONVERT"]
    assert told[3].endswith("on c4")


def test_on_a_phone_a_tap_tells_the_packet_and_two_fingers_zoom(browser: Browser, report: Report) -> None:
    browser.open(report("rst-3.2-tcp.pcap"), width=390, height=800)
    moment = (5 * 3600 + 13 * 60 + 36.550815) * SECOND  # of packet 1599, as above
    browser.touch([browser.place("r1", moment, 797)])
    assert browser.told().splitlines()[:2] == ["packet 1599", "797 sent again"]
    browser.touch([(200, 5)])
    assert browser.told() == ""
    whole = zoomed(browser, "g1-2")
    left, top, _ = plot_box(browser)
    middle, height = left + 140, top + 100
    browser.touch(
        [(middle - 30, height), (middle + 30, height)],
        [(middle - 60, height), (middle + 30, height)],
        [(middle - 60, height), (middle + 60, height)],
    )
    near = zoomed(browser, "g1-2")
    assert 0.4 < (near[1] - near[0]) / (whole[1] - whole[0]) < 0.6  # twice as far apart


def test_pointing_at_a_line_tells_what_it_is(browser: Browser, report: Report) -> None:
    browser.open(report("rst-stall-6.12-tcp.pcap"))
    # r13 of the analysis: packet 38691 is the RST that ended c12
    browser.alive("r13")
    time = browser.run(
        "const {marks, day} = plots.get('r13').data; return marks.find(each => each[2] == 38691)[0] + day"
    )
    assert browser.point_at("r13", time, 15085).startswith("RST c12\npacket 38691")


def test_the_buttons_zoom_and_show_all_again(browser: Browser, report: Report) -> None:
    browser.open(report("rst-6.12-tcp.pcap"))
    whole = zoomed(browser, "g1-2")
    labels = browser.texts("#g1-2 .axes text")
    browser.click("#g1-2 [data-do=in]")
    near = zoomed(browser, "g1-2")
    assert abs((near[1] - near[0]) / (whole[1] - whole[0]) - 0.5) < 1e-9
    assert browser.texts("#g1-2 .axes text") != labels
    browser.click("#g1-2 [data-do=out]")
    assert zoomed(browser, "g1-2") == whole
    browser.click("#g1-2 [data-do=in]")
    browser.click("#g1-2 [data-do=all]")
    assert browser.texts("#g1-2 .axes text") == labels


def test_the_wheel_zooms_where_the_mouse_is_only_with_control(browser: Browser, report: Report) -> None:
    browser.open(report("rst-6.12-tcp.pcap"))
    whole = zoomed(browser, "g1-2")
    left, top, _ = plot_box(browser)
    browser.mouse("mouseWheel", left + 1, top + 100, deltaX=0, deltaY=-120, modifiers=2)
    near = zoomed(browser, "g1-2")
    assert near[1] < whole[1]
    assert near[0] - whole[0] < 0.01 * (whole[1] - whole[0])  # the left edge, where the mouse was, stays
    browser.click("#g1-2 [data-do=all]")
    left, top, _ = plot_box(browser)
    browser.mouse("mouseWheel", left + 1, top + 100, deltaX=0, deltaY=-120)
    assert zoomed(browser, "g1-2") == whole


def test_dragging_moves_what_is_shown(browser: Browser, report: Report) -> None:
    browser.open(report("rst-6.12-tcp.pcap"))
    browser.alive("g1-2")
    browser.click("#g1-2 [data-do=in]")
    before = zoomed(browser, "g1-2")
    left, top, width = plot_box(browser)
    x, y = left + 400, top + 150
    browser.mouse("mousePressed", x, y, button="left", clickCount=1)
    browser.mouse("mouseMoved", x - 100, y, button="left", buttons=1)
    browser.mouse("mouseReleased", x - 100, y, button="left")
    after = zoomed(browser, "g1-2")
    moved = 100 / width * (before[1] - before[0])
    assert abs(after[0] - before[0] - moved) < 1e-3 * moved


def test_the_keyboard_moves_and_zooms(browser: Browser, report: Report) -> None:
    browser.open(report("rst-6.12-tcp.pcap"))
    whole = zoomed(browser, "g1-2")
    browser.press("#g1-2", "+")
    near = zoomed(browser, "g1-2")
    assert near[1] - near[0] < whole[1] - whole[0]
    browser.press("#g1-2", "\ue014")  # right
    assert zoomed(browser, "g1-2")[0] > near[0]
    browser.press("#g1-2", "0")
    assert zoomed(browser, "g1-2") == whole


def test_the_script_shows_what_was_drawn_without_it(browser: Browser, report: Report) -> None:
    page = report("rst-6.12-tcp.pcap")
    source = page.read_text()
    assert source.count('class="graph"') == 2 + 7  # streams and reconnects
    drawn = re.findall(r"<text[^>]*>([^<]*)</text>", re.findall(r'id="g1-2".*?<g class="axes">(.*?)</g>', source)[0])
    assert {"0", "2000", "05:18:20"} <= set(drawn)
    browser.open(page)  # 1280 pixels: the width that it was drawn for
    browser.alive("g1-2")
    assert browser.run(TEXTS, "#g1-2 .axes text") == drawn
    labels = re.findall(r'id="g1-2".*?<g class="tags">(.*?)</g>', source)[0]
    shown = re.findall(r'<text class="tag [^>]*"(?: y="[^"]*")>([^<]*)</text>', labels)
    assert set(browser.run(TEXTS, "#g1-2 .tags text:not([visibility=hidden])")) == set(shown)


def test_a_capture_of_days_has_dates(browser: Browser, tmp_path: Path) -> None:
    capture, page = tmp_path / "days.pcap", tmp_path / "days.html"
    with Network(capture, start=DAY_19_000) as network:
        one, two = network.node(1, "10.0.0.1"), network.node(2, "10.0.0.2")
        connection = network.connect(one, two)
        for number in range(4):
            connection.send(one, opts(number, request(b"name", sender=1)))
            connection.send(two, ack(number + 1, sender=2))
            network.wait(24 * 3600 * 10**9)
    write_report([str(capture)], page)
    browser.open(page)
    browser.alive("g1-2")
    drawn = browser.run(TEXTS, "#g1-2 .axes text")
    assert {"01-09 00:00", "01-10 00:00", "01-11 00:00"} <= set(drawn)  # date -d @$((19000*86400)) is 2022-01-08
    third = browser.run("return plots.get('g1-2').data.t[4]")
    assert "01-10 00:00:00.00" in browser.point_at("g1-2", third, 2)
