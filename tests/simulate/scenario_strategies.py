"""Random scenarios for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from dlmtrace.simulate.dialects import DIALECTS
from dlmtrace.simulate.scenario import (
    MILLISECOND,
    SECOND,
    Close,
    Crash,
    Cut,
    Leave,
    LoseCopies,
    RecreateComm,
    Reset,
    Scenario,
    Send,
    Settings,
    Step,
)

MERGED = tuple(name for name in DIALECTS if name not in ("3.1", "v3"))
REPEATS_BEFORE_CLOSE = tuple(name for name in MERGED if DIALECTS[name].reconnecting.name == "FAILED_SEND")

BEGIN, QUIET = 30 * MILLISECOND, 400 * MILLISECOND
"""The nodes have joined; nothing new happens."""

ACCIDENTS = ("none", "none", "cut", "fenced", "not fenced", "recreated", "leave")

times = st.integers(BEGIN // MILLISECOND, QUIET // MILLISECOND).map(lambda ms: ms * MILLISECOND)
sequences = st.sampled_from([0, 0, 0, 2**32 - 20, 2**32 - 1, 2**31 - 30])

network_settings = st.builds(
    Settings,
    delay=st.sampled_from([20_000, 200_000, 5 * MILLISECOND]),
    jitter=st.sampled_from([0, 0, 0, 300_000]),
    segment_size=st.sampled_from([1448, 1448, 536, 100, 8948]),
    window=st.sampled_from([32_768, 4_000]),
    send_buffer=st.sampled_from([65_536, 4_000, 1_000]),
    work_delay=st.sampled_from([1, 50_000, 500_000]),
)


def sends(sender: int, receiver: int) -> st.SearchStrategy[Send]:
    """Messages in a trickle or in bursts."""
    return st.builds(
        Send,
        at=times,
        sender=st.just(sender),
        receiver=st.just(receiver),
        count=st.integers(1, 60),
        every=st.sampled_from([100_000, MILLISECOND, 5 * MILLISECOND]),
        burst=st.sampled_from([1, 3, 20]),
    )


def resets(nodes: tuple[int, int]) -> st.SearchStrategy[Reset]:
    """RSTs to one or both ends of one or all connections of the pair."""
    return st.builds(
        Reset,
        at=times,
        nodes=st.just(nodes),
        carrying=st.sampled_from([None, *nodes]),
        reaches=st.sampled_from([(), nodes[:1], nodes[1:]]),
    )


def _pair_steps(nodes: tuple[int, int]) -> list[st.SearchStrategy[Step]]:
    return [sends(*nodes), sends(nodes[1], nodes[0]), resets(nodes)]


@st.composite
def reset_scenarios(draw: st.DrawFn, dialects: tuple[str, ...]) -> Scenario:
    """Two nodes, messages both ways, any schedule of resets; then quiet, one last message, quiet, and a last reset of
    each node's sending connection.

    These find no copies under way: a reset in the midst of repeats can leave a hole until the next one.  One reset of
    both connections is two errors; the second finds the copies of the first, where there are more than a page of them.
    """
    nodes = {1: draw(st.sampled_from(dialects)), 2: draw(st.sampled_from(dialects))}
    steps = draw(st.lists(st.one_of(_pair_steps((1, 2))), min_size=2, max_size=10))
    last: tuple[Step, ...] = (
        Send(6 * SECOND, 1, 2, 1),
        Send(6 * SECOND, 2, 1, 1),
        Reset(8 * SECOND, (1, 2), carrying=1),
        Reset(9 * SECOND, (1, 2), carrying=2),
        Send(10 * SECOND, 1, 2, 1),
        Send(10 * SECOND, 2, 1, 1),
    )
    return Scenario(
        nodes,
        (*steps, *last),
        until=30 * SECOND,
        seed=draw(st.integers(0, 2**16)),
        settings=draw(network_settings),
        first_sequence=draw(sequences),
    )


@st.composite
def scenarios(
    draw: st.DrawFn,
    dialects: tuple[str, ...] = tuple(DIALECTS),
    most: int = 7,
    accidents: tuple[str, ...] = ACCIDENTS,
) -> Scenario:
    """Two or three nodes of any dialects and any faults: resets, orderly closes, cuts, crashes, leaves, kernel bugs.

    ``most`` limits what each pair sends and how often it is reset; one of ``accidents`` happens to one node.
    """
    count = draw(st.sampled_from([2, 2, 2, 3]))
    one_dialect = draw(st.sampled_from(dialects))
    mixed = draw(st.integers(0, 3)) == 0
    nodes = {node: draw(st.sampled_from(dialects)) if mixed else one_dialect for node in range(1, count + 1)}
    steps: list[Step] = []
    for first in nodes:
        for second in range(first + 1, count + 1):
            pair = (first, second)
            steps += draw(st.lists(st.one_of(_pair_steps(pair)), min_size=1, max_size=most))
            if draw(st.integers(0, 4)) == 0:
                steps.append(draw(st.builds(Close, at=times, node=st.just(first), peer=st.just(second))))
            if nodes[first] in REPEATS_BEFORE_CLOSE and draw(st.integers(0, 3)) == 0:
                steps.append(draw(st.builds(LoseCopies, at=times, node=st.just(first), peer=st.just(second))))
    node = draw(st.sampled_from(sorted(nodes)))
    first_sequence = draw(sequences)
    match draw(st.sampled_from(accidents)):
        case "cut":
            steps.append(Cut(draw(times), node, draw(st.sampled_from([50, 500, 3_000])) * MILLISECOND))
        case "fenced":
            at = draw(times)
            steps.append(Crash(at, node, at + 2 * SECOND, fenced=at + SECOND))
            steps += [Send(at + 3 * SECOND, node, peer, 20) for peer in nodes if peer != node]
            steps += [Send(at + 3 * SECOND, peer, node, 20) for peer in nodes if peer != node]
        case "not fenced":
            at = draw(times)
            steps.append(Crash(at, node, at + SECOND))
            steps += [Send(at + 3 * SECOND, peer, node, 20) for peer in nodes if peer != node]
        case "recreated":
            other = draw(st.sampled_from([peer for peer in sorted(nodes) if peer != node]))
            steps.append(RecreateComm(draw(times), (node, other)))
        case "leave":
            steps.append(Leave(SECOND, node))
    if any(isinstance(step, Crash | RecreateComm) for step in steps):
        first_sequence = 0  # numbers start again, as kernels do it: at 0
    return Scenario(
        nodes,
        tuple(steps),
        until=draw(st.sampled_from([QUIET // 2, 2 * SECOND, 8 * SECOND])),
        seed=draw(st.integers(0, 2**16)),
        settings=draw(network_settings),
        first_sequence=first_sequence,
    )
