"""What `decode` and `info` count, against the counts of an independent walker that lie beside the captures."""

import json
from collections import Counter
from collections.abc import Callable

import pytest
from command_result import Result
from evidence import CAPTURE_FILES, capture_path, scenario, scenario_of


def walked(file: str) -> dict[str, int]:
    """Frames by kind, as the stand-alone walker of the lab counted them; inner ones as `OPTS/MSG.REQUEST`."""
    frames = scenario(scenario_of(file))["frames"][file]
    return {**frames["counts"], **frames["inner"]}


WHOLE = [
    file
    for file in CAPTURE_FILES
    # the walker knows no ring order and no snaplen, and reads on behind bad frames in another way than a kernel
    if not file.startswith(("big-", "forged-")) and "snap" not in file
]


@pytest.mark.parametrize("file", WHOLE)
def test_info_counts_every_kind_of_frame(dlmtrace: Callable[..., Result], file: str) -> None:
    result = dlmtrace("info", "--format", "json", capture_path(file))
    info = json.loads(result.out)
    kinds: Counter[str] = Counter()
    for kind in info["kinds"]:
        outer, _, carried = kind["command"].partition("/")
        kinds[outer] += kind["frames"]
        inner = carried or outer
        if inner in ("MSG", "RCOM"):
            kinds[f"{inner}.{kind['type']}"] += kind["frames"]
        elif inner == "FIN":
            kinds["OPTS(FIN)"] += kind["frames"]
    expected = walked(file)
    assert kinds == {name: count for name, count in expected.items() if name in kinds}
    inside = {name for name in expected if name.startswith(("MSG", "RCOM", "OPTS(", "ACK")) or name == "OPTS"}
    assert inside == set(kinds)
    assert info["capture"]["packets"] == expected["packets"]
    assert info["capture"]["bytes"] == scenario(scenario_of(file))["frames"][file]["bytes"]
    assert info["versions"] == scenario(scenario_of(file))["frames"][file]["versions"]


@pytest.mark.parametrize("file", ["rst-3.2-tcp.pcap", "clean-3.1-tcp.pcap", "sctp-3.2.pcap"])
@pytest.mark.parametrize("form", ["text", "jsonl", "csv"])
def test_decode_shows_each_frame_once(dlmtrace: Callable[..., Result], file: str, form: str) -> None:
    result = dlmtrace("decode", "--format", form, capture_path(file))
    expected = walked(file)
    frames = sum(expected.get(name, 0) for name in ("MSG", "RCOM", "OPTS", "ACK", "FIN"))
    assert len(result.lines) == frames + (form == "csv")
    assert result.err == ""


def test_nodes_have_the_addresses_that_the_lab_gave_them(dlmtrace: Callable[..., Result]) -> None:
    for files in (
        ["recovery-locks-3node.pcap"],
        ["ipv6-tcp.pcap"],
        ["sctp-multihome.net0.pcap", "sctp-multihome.net1.pcap"],
    ):
        info = json.loads(dlmtrace("info", "--format", "json", *map(capture_path, files)).out)
        nodes = scenario(scenario_of(files[0]))["nodes"]
        expected = [(node["nodeid"], sorted(node["addresses"]), ["3.2"]) for node in nodes]
        assert [(node["node"], node["addresses"], list(node["versions"])) for node in info["nodes"]] == expected


def test_a_receiver_is_known_where_only_its_other_connection_speaks(dlmtrace: Callable[..., Result]) -> None:
    # both nodes of rst-3.2-tcp keep their own connection, and use one way of each
    records = map(json.loads, dlmtrace("decode", "--format", "jsonl", capture_path("rst-3.2-tcp.pcap")).lines)
    assert {(record["sender"], record["receiver"]) for record in records} == {(1, 2), (2, 1)}


def test_lockspaces_get_the_names_that_are_given(dlmtrace: Callable[..., Result]) -> None:
    file = capture_path("two-spaces-3node.pcap")
    info = json.loads(dlmtrace("info", "--format", "json", file, "--lockspace", "alpha=0x7caec595").out)
    spaces = scenario("two-spaces-3node")["lockspaces"]
    assert {space["lockspace"]: space["name"] for space in info["lockspaces"]} == {
        f"0x{spaces['alpha']['global_id_hex']}": "alpha",
        f"0x{spaces['a_second_lockspace']['global_id_hex']}": None,
    }
    frames = {space["name"]: space["frames"] for space in info["lockspaces"]}
    count = dlmtrace("decode", "--count", file, "--lockspace", "alpha=0x7caec595").out
    assert int(count) == frames["alpha"]
    assert sum(frames.values()) == sum(walked("two-spaces-3node.pcap")[name] for name in ("OPTS", "RCOM")) - 6  # FINs
