"""dlmtrace graph: pictures of real captures, and what it says when it cannot draw."""

import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from command_result import Result
from evidence import capture_path, scenario

SVG = "{http://www.w3.org/2000/svg}"
STALLED = capture_path("rst-6.12-tcp.pcap")


def texts(picture: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in picture.iter(f"{SVG}text")]


@pytest.fixture
def picture(dlmtrace: Callable[..., Result], tmp_path: Path) -> Callable[..., ElementTree.Element]:
    """`picture(capture, "1-2")`: the SVG, parsed."""

    def draw(capture: Path, stream: str) -> ElementTree.Element:
        drawn = dlmtrace("graph", capture, "--stream", stream, "-o", tmp_path / "out.svg")
        written = f"{tmp_path / 'out.svg'}: stream {stream.replace('-', '→')}\n"
        assert (drawn.status, drawn.out, drawn.err) == (0, written, "")
        return ElementTree.parse(tmp_path / "out.svg").getroot()

    return draw


def test_the_picture_names_the_stream_and_every_connection_that_was_reset(
    picture: Callable[..., ElementTree.Element],
) -> None:
    shown = texts(picture(STALLED, "1→2"))
    assert "Stream 1→2" in shown
    assert len({text for text in shown if text.startswith("RST ")}) == len(scenario("rst-6.12-tcp")["rst"])
    assert {"c1", "c2", "c4"} <= set(shown)  # over which the numbers went, see analyze


def test_while_the_receiver_stands_still_the_picture_is_shaded(picture: Callable[..., ElementTree.Element]) -> None:
    root = picture(STALLED, "1-2")
    (shade,) = (path for path in root.iter(f"{SVG}path") if path.get("class") == "stall")
    begin, end = map(float, re.findall(r"M([\d.]+) 0H([\d.]+)", shade.get("d") or "")[0])
    plot = next(element for element in root.iter(f"{SVG}svg") if element.get("class") == "plot")
    # 2.45 s (captures/MANIFEST.md, item 12) of the 16.3 s that the connections lasted
    assert (end - begin) / float(plot.get("width") or 0) == pytest.approx(2.45 / 16.3 / 1.04, rel=0.03)


def test_lost_numbers_are_in_the_picture(picture: Callable[..., ElementTree.Element]) -> None:
    shown = texts(picture(capture_path("rst-stall-6.12-tcp.pcap"), "1-2"))
    assert "2 lost" in shown  # 15108 and 15109, captures/MANIFEST.md, item 12
    assert "lost" in shown  # the legend


def test_a_stream_without_numbers_is_drawn_by_frames(picture: Callable[..., ElementTree.Element]) -> None:
    assert any("frames sent" in text for text in texts(picture(capture_path("rst-3.1-tcp.pcap"), "2-1")))


def test_a_picture_of_dots_is_a_png(dlmtrace: Callable[..., Result], tmp_path: Path) -> None:
    assert dlmtrace("graph", STALLED, "-s", "1-2", "-o", tmp_path / "out.png").status == 0
    data = (tmp_path / "out.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")) == (2160, 960)


def test_without_the_library_for_png_one_line_says_how_to_get_it(
    dlmtrace: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = dlmtrace("graph", STALLED, "-s", "1-2", "-o", tmp_path / "out.png")
    assert result.status == 2
    assert result.err == "dlmtrace: graph -o FILE.png needs resvg_py: pip install 'dlmtrace[png]'\n"


def test_in_the_terminal_the_graph_has_its_marks(dlmtrace: Callable[..., Result]) -> None:
    lines = dlmtrace("graph", STALLED, "--stream", "1-2", "--terminal").lines
    assert lines[0] == "Stream 1→2: 8494 frames, 706 sent again"  # docs of analyze: 7788 numbers, 706 came again
    assert max(map(len, lines)) <= 100
    resets = max(line.count("╎") for line in lines)
    assert resets == len(scenario("rst-6.12-tcp")["rst"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-s", "1-2"], "choose one: a picture"),
        (["-s", "1-2", "-o", "out.gif"], "'out.gif' is not a name that ends in .svg or .png"),
        (["-s", "12", "--terminal"], "'12' is not two node ids"),
        (["-s", "1-9", "--terminal"], "'1→9' is not a stream of this capture; there are 1→2, 2→1"),
    ],
)
def test_one_line_says_what_cannot_be_drawn(dlmtrace: Callable[..., Result], options: list[str], message: str) -> None:
    result = dlmtrace("graph", STALLED, *options)
    assert result.status == 2
    assert message in result.err
    assert len(result.err.splitlines()) == 1


def test_a_picture_may_go_to_the_output(dlmtrace: Callable[..., Result]) -> None:
    assert dlmtrace("graph", STALLED, "-s", "1-2", "-o", "-").out.startswith("<svg ")
