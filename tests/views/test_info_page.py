"""docs/info.md names every key of `dlmtrace info --format json`, and the tables show what the object holds."""

import json

from evidence import REPOSITORY, capture_path

from dlmtrace.pipeline import Trace
from dlmtrace.streams.limits import limits
from dlmtrace.streams.survey import Survey
from dlmtrace.views.info import Run, information
from dlmtrace.views.info_text import plain_text
from dlmtrace.views.naming import Naming

PAGE = (REPOSITORY / "docs" / "info.md").read_text()
MAPS = ("versions", "frames_not_whole", "undecodable", "kinds", "tcp_ports", "sctp_ports")
"""Keys whose own keys are data."""


def of(file: str) -> dict[str, object]:
    path = str(capture_path(file))
    trace, survey = Trace([path]), Survey()
    for batch in trace.batches():
        survey.add(batch)
    naming = Naming(survey.nodes, {}, [path])
    found = limits(trace.capture.facts, trace.traffic, survey)
    return information(Run(trace.capture.files, trace.traffic, survey, naming, found))


def keys(value: object) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(keys, value))
    if not isinstance(value, dict):
        return set()
    return set(value).union(
        *(keys(inside) for key, inside in value.items() if key not in MAPS or isinstance(inside, list))
    )


def test_every_key_is_documented() -> None:
    for file in ("mid-capture.snap256.pcap", "rst-3.2-tcp.pcap", "sctp-multihome.net0.pcap"):
        documented = set(PAGE.replace("`", " ").replace(".", " ").replace("[]", " ").replace(",", " ").split())
        assert keys(of(file)) <= documented


def test_it_is_json() -> None:
    info = of("reboot-2node.pcap")
    assert json.loads(json.dumps(info)) == info


def test_tables_hold_the_numbers_of_the_object() -> None:
    info = of("rst-3.2-tcp.pcap")
    text = plain_text(info)
    lines = [line.split() for line in text.splitlines()]
    # 2477 REQUEST, 3326 ACK, 12855 packets: the walker's counts beside the capture
    assert ["OPTS/MSG", "REQUEST", "2477", "11.6", "%"] in lines
    assert ["ACK", "3326", "15.6", "%"] in lines
    assert ["packets", "with", "DLM", "12839", "of", "12855"] in lines
    assert sum(line[:1] == [f"c{number}"] for number in range(1, 12) for line in lines) == 11
    assert not any(line.endswith(" ") for line in text.splitlines())
