#!/usr/bin/env python3
"""Run scenarios by name, results in recorded/; -l lists them.

scenarios.py NAME...   one after the other; a scenario that fails does not stop the next one
"""

import sys
import time
import traceback
from collections.abc import Callable
from functools import partial

from forged import forged_frames
from host import RUN, run
from lab import Lab

LOCKSPACE = "alpha"
ENDLESS = 10**9  # operations; the load then ends by its time
# No cancels where a node dies: a 6.1 survivor panics in recovery when a LOOKUP to the dead node has been cancelled.
NO_CANCEL = 1_000_000


def clean(
    name: str, kernels: list[str], operations: int, sctp: bool = False, networks: tuple[str, ...] = ("10.77.0.%d",)
) -> None:
    """Join, some operations on each node, leave."""
    with Lab(name, kernels, sctp=sctp, networks=networks) as lab:
        lab.capture(f"{name}.pcap")
        for node in lab.nodes:
            lab.join(LOCKSPACE, node)
        for node in lab.nodes:
            lab.start_load(LOCKSPACE, node, ops=operations, handles=48, res=150)
        for node in lab.nodes:
            lab.wait_load(node)
        time.sleep(1)
        lab.leave_all(LOCKSPACE)
        time.sleep(2)


def resets(
    name: str,
    kernels: list[str],
    *,
    seconds: int = 14,
    kills: int = 5,
    mode: str = "mix",
    rate: int = 600,
    every: float = 2.0,
    stopquiet: int = 0,
) -> int:
    """Heavy traffic, connections killed in the middle of it. Returns how many locks the worse node still waits for."""
    pending = 0
    with Lab(name, kernels) as lab:
        lab.capture(f"{name}.pcap")
        for node in lab.nodes:
            lab.join(LOCKSPACE, node)
        for node in lab.nodes:
            lab.start_load(LOCKSPACE, node, ops=ENDLESS, secs=seconds, rate=rate, handles=200, res=300, drain=8)
            node.sh(
                f"(sleep {seconds + 3}; cd /sys/kernel/debug/dlm; for f in *_waiters *_locks comms/*/[a-qs-z]*; do "
                "echo == $f; cat $f; done > /mnt/debugfs.txt 2>&1) & true"
            )
        lab.note("rst injection starts; debugfs is saved 3 s after the load's end", kills=kills, mode=mode)
        injector = lab.inject_resets(count=kills, every=every, mode=mode, stopquiet=stopquiet)
        for node in lab.nodes:
            pending = max(pending, lab.wait_load(node, timeout=seconds + 30)["still_pending"])
        injector.terminate()
        injector.wait()
        time.sleep(1)
        for node in lab.nodes:
            node.wait("[ -s /mnt/debugfs.txt ]", timeout=20)
            lab.save_text(node, "debugfs.txt")
        lab.leave_all(LOCKSPACE)
        time.sleep(2)
    return pending


def stall() -> None:
    """RSTs at the receiver of a segment only, one by one, until the sender goes on past lost numbers for good."""
    for _ in range(5):
        pending = resets(
            "rst-stall-6.12-tcp",
            ["6.12", "6.12"],
            seconds=24,
            kills=12,
            every=1.5,
            mode="receiver",
            stopquiet=60,
        )
        if pending > 50:
            return


def sctp_multihome() -> None:
    """Two addresses a node; the first path is cut for a while under load."""
    networks = ("10.77.0.%d", "10.78.0.%d")
    with Lab("sctp-multihome", ["6.1", "6.1"], sctp=True, networks=networks) as lab:
        lab.capture("sctp-multihome.net0.pcap", device="br0")
        lab.capture("sctp-multihome.net1.pcap", device="br1")
        for node in lab.nodes:
            lab.join(LOCKSPACE, node)
        for node in lab.nodes:
            node.sh("sysctl -w net.sctp.path_max_retrans=1", check=False)
            lab.start_load(LOCKSPACE, node, ops=ENDLESS, secs=25, rate=150, handles=64, res=200, drain=20)
        time.sleep(6)
        lab.cut("tap1a")
        lab.note("path 0 cut: tap1a taken out of br0")
        time.sleep(10)
        lab.restore("tap1a")
        lab.note("path 0 restored")
        for node in lab.nodes:
            lab.wait_load(node, timeout=90)
        time.sleep(1)
        lab.leave_all(LOCKSPACE)
        time.sleep(2)


def crash(name: str, kernel: str) -> None:
    """Three nodes; one is killed, the others recover, it boots again and joins."""
    with Lab(name, [kernel] * 3, memory=320) as lab:
        lab.capture(f"{name}.pcap")
        first, second, third = lab.nodes
        for node in lab.nodes:
            lab.join(LOCKSPACE, node)
        load = partial(lab.start_load, LOCKSPACE, ops=ENDLESS, rate=250, handles=64, res=200, cancelms=NO_CANCEL)
        for node in lab.nodes:
            load(node, secs=300 if node is third else 45)
        time.sleep(6)
        third.read_clock()
        lab.note("kill -9 of node 3")
        third.kill()
        time.sleep(4)
        lab.lost(LOCKSPACE, third)
        time.sleep(4)
        boot_again(lab)
        lab.join(LOCKSPACE, third)
        load(third, secs=10)
        for node in (third, first, second):
            lab.wait_load(node, timeout=120)
        time.sleep(1)
        lab.leave_all(LOCKSPACE)
        time.sleep(2)


def boot_again(lab: Lab) -> None:
    """Boot the last node again and let the others know it."""
    *others, node = lab.nodes
    node.boot()
    node.connect()
    node.read_clock()
    lab.note(f"node {node.number} is back (new boot)")
    node.set_up()
    for other in others:
        other.add_comm(node)


def reboot_2node() -> None:
    """One node is reset and back BEFORE the other noticed: the survivor still has its old connection state."""
    with Lab("reboot-2node", ["6.1"] * 2) as lab:
        lab.capture("reboot-2node.pcap")
        first, second = lab.nodes
        both = [first, second]
        for node in lab.nodes:
            lab.join(LOCKSPACE, node)
        load = partial(lab.start_load, LOCKSPACE, ops=ENDLESS, rate=200, handles=64, res=200, cancelms=NO_CANCEL)
        load(first, secs=40, drain=3)
        load(second, secs=300)
        time.sleep(5)
        lab.note("kill -9 of node 2")
        second.kill()
        second.boot()
        second.connect()
        second.read_clock()
        second.set_up()
        lab.note("node 2 is back; node 1 still believes in the old one")
        second.create_lockspace(LOCKSPACE, None)
        lab.change_members(LOCKSPACE, [first], both)
        time.sleep(8)
        lab.note("state", dmesg=first.sh("dmesg | grep dlm | tail -12", check=False))
        # the way out a cluster manager takes: drop the node and its comm, then let it in again
        first.stop(LOCKSPACE)
        first.remove_comm(second)
        lab.change_members(LOCKSPACE, [], [first])
        time.sleep(2)
        first.add_comm(second)
        lab.change_members(LOCKSPACE, both, both)
        second.event_done(LOCKSPACE)
        lab.note("second try with a fresh comm")
        time.sleep(8)
        lab.note("state", dmesg=first.sh("dmesg | grep dlm | tail -12", check=False))
        lab.start_load(LOCKSPACE, second, ops=500, handles=32, res=100)
        lab.wait_load(second, timeout=40)
        lab.wait_load(first, timeout=60)
        lab.leave_all(LOCKSPACE)


def netem_tcp() -> None:
    """Loss, duplication and reordering on the way out of each guest, random loss on the way into node 2."""
    with Lab("netem-tcp", ["6.1", "6.1"], offload=False) as lab:
        lab.capture("netem-tcp.pcap")
        for node in lab.nodes:
            lab.join(LOCKSPACE, node)
        for node in lab.nodes:
            output = node.sh(
                "modprobe sch_netem; /sbin/tc qdisc add dev eth0 root netem limit 1000 delay 3ms 2ms loss 3% "
                "duplicate 2% reorder 25% 50% && /sbin/tc qdisc show dev eth0"
            )
            lab.note("netem", node=node.number, out=output)
        drop = "numgen random mod 100 '<' 2 drop"
        output = lab.nodes[1].sh(
            "modprobe nf_tables; modprobe nft_numgen; nft add table inet t && "
            "nft add chain inet t in '{ type filter hook input priority 0; }' && "
            f"nft add rule inet t in tcp dport 21064 {drop} && nft add rule inet t in tcp sport 21064 {drop} && "
            "nft list ruleset"
        )
        lab.note("nft", out=output)
        for node in lab.nodes:
            lab.start_load(LOCKSPACE, node, ops=3000, rate=150, handles=64, res=200, drain=15)
        for node in lab.nodes:
            lab.wait_load(node)
        for node in lab.nodes:
            output = node.sh("/sbin/tc -s qdisc show dev eth0; /sbin/tc qdisc del dev eth0 root")
            lab.note("netem counters", node=node.number, out=output)
        lab.nodes[1].sh("nft flush ruleset")
        time.sleep(1)
        lab.leave_all(LOCKSPACE)
        time.sleep(2)


def blackhole_tcp() -> None:
    """The link of node 2 is cut for 12 s under load, TCP bridges the gap."""
    with Lab("blackhole-tcp", ["6.1", "6.1"]) as lab:
        lab.capture("blackhole-tcp.n1.pcap", device="tap1a")
        lab.capture("blackhole-tcp.n2.pcap", device="tap2a")
        for node in lab.nodes:
            lab.join(LOCKSPACE, node)
        for node in lab.nodes:
            lab.start_load(LOCKSPACE, node, ops=ENDLESS, secs=40, rate=100, handles=64, res=200, drain=20)
        time.sleep(5)
        lab.cut("tap2a")
        lab.note("link of node 2 cut")
        time.sleep(12)
        lab.restore("tap2a")
        lab.note("link of node 2 restored")
        for node in lab.nodes:
            lab.wait_load(node, timeout=120)
        time.sleep(1)
        lab.leave_all(LOCKSPACE)
        time.sleep(2)


def gfs2(name: str, kernel: str) -> None:
    """A shared disk with GFS2 on it, used from both nodes: glock names on the wire."""
    image = RUN / "gfs2.img"
    RUN.mkdir(exist_ok=True)
    image.unlink(missing_ok=True)
    run(f"truncate -s 512M {image}; mkfs.gfs2 -O -q -p lock_dlm -t lab:fs -j 2 -J 8 {image}")
    with Lab(name, [kernel] * 2, disks=(image,), memory=512) as lab:
        lab.capture(f"{name}.pcap")
        for node in lab.nodes:
            node.sh("modprobe gfs2; mkdir -p /gfs")
            lab.join("fs", node, command="mount -t gfs2 -o noatime /dev/vda /gfs")
            lab.note("mounted", node=node.number, out=node.sh("ls -lai /gfs; df /gfs"))
        first, second = lab.nodes
        first.sh("mkdir /gfs/d1 /gfs/d2; for i in $(seq 1 30); do echo node1-$i > /gfs/d1/f$i; done; sync")
        lab.note("ls from node 2", out=second.sh("ls /gfs/d1 | wc -l; cat /gfs/d1/f7; ls -i /gfs /gfs/d1 | head -20"))
        for node in lab.nodes:
            name_in_files = f"n{node.number}"
            work = (
                "for r in 1 2 3 4 5; do for i in $(seq 1 15); do "
                f"echo {name_in_files}-$r-$i >> /gfs/d1/f$i; cat /gfs/d2/* >/dev/null 2>&1; "
                f"echo x > /gfs/d2/{name_in_files}-$i; done; rm -f /gfs/d2/{name_in_files}-*; sync; done"
            )
            node.sh_background(work, "/tmp/work.out", "/tmp/work.rc")
        for node in lab.nodes:
            node.wait("[ -e /tmp/work.rc ]", timeout=200)
            lab.note("workload done", node=node.number, out=node.sh("ls -li /gfs/d1 | head -5"))
            node.sh("cp /sys/kernel/debug/gfs2/lab:fs/glocks /mnt/glocks.txt")
            lab.save_text(node, "glocks.txt")
        lab.leave_all("fs", command="umount /gfs")
        time.sleep(2)


def mid_capture() -> None:
    """One session, four captures: whole, 3 s out of the middle, packets cut at 96 and at 256 bytes."""
    with Lab("mid-capture", ["6.1", "6.1"]) as lab:
        lab.capture("mid-capture.full.pcap")
        lab.capture("mid-capture.snap96.pcap", options="-s 96")
        lab.capture("mid-capture.snap256.pcap", options="-s 256")
        for node in lab.nodes:
            lab.join(LOCKSPACE, node)
        for node in lab.nodes:
            lab.start_load(LOCKSPACE, node, ops=ENDLESS, secs=12, rate=250, handles=64, res=200)
        time.sleep(5)
        lab.capture("mid-capture.mid.pcap")
        time.sleep(3)
        lab.stop_capture("mid-capture.mid.pcap")
        for node in lab.nodes:
            lab.wait_load(node)
        time.sleep(1)
        lab.leave_all(LOCKSPACE)
        time.sleep(2)


def two_spaces() -> None:
    """Two lockspaces with different members over the same connections."""
    other = "a_second_lockspace"
    with Lab("two-spaces-3node", ["6.1", "6.1", "6.12"], memory=320) as lab:
        lab.capture("two-spaces-3node.pcap")
        for node in lab.nodes:
            lab.join(LOCKSPACE, node)
        for node in lab.nodes[:2]:
            lab.join(other, node)
        for node in lab.nodes:
            lab.start_load(LOCKSPACE, node, ops=800, handles=32, res=120)
        for node in lab.nodes[:2]:
            lab.start_load(other, node, tag="load2", log=False, ops=800, handles=32, res=120, base=500)
        for node in lab.nodes:
            lab.wait_load(node)
        for node in lab.nodes[:2]:
            lab.wait_load(node, tag="load2")
        lab.leave_all(other)
        lab.leave_all(LOCKSPACE)
        time.sleep(2)


def recovery_locks() -> None:
    """The master of many held locks dies and the survivors rebuild directory and locks; later it comes back."""
    with Lab("recovery-locks-3node", ["6.1"] * 3, memory=320) as lab:
        lab.capture("recovery-locks-3node.pcap")
        first, second, third = lab.nodes
        for node in lab.nodes:
            lab.join(LOCKSPACE, node)
        load = partial(lab.start_load, LOCKSPACE, handles=300, res=300, hold=1, noqueue=60, cancelms=NO_CANCEL)
        load(third, ops=500)
        time.sleep(5)
        for node in (first, second):
            load(node, ops=700)
        time.sleep(6)
        lab.note("kill -9 of node 3 while it holds locks")
        third.read_clock()
        third.kill()
        time.sleep(2)
        lab.lost(LOCKSPACE, third)
        time.sleep(3)
        boot_again(lab)
        lab.join(LOCKSPACE, third)
        time.sleep(2)
        for node in (first, second):
            node.sh("kill -TERM $(ps | grep 'dlmtool load' | grep -v -e 'sh -c' -e grep | awk '{print $1}')")
        for node in (first, second):
            lab.wait_load(node, timeout=60)
        lab.leave_all(LOCKSPACE)
        time.sleep(2)


def forged() -> None:
    """Hand-made frames from user space of node 2 (an extra TCP connection each) and from a stranger's address."""
    with Lab("forged-3.2-tcp", ["6.1", "6.1"]) as lab:
        lab.capture("forged-3.2-tcp.pcap")
        first, second = lab.nodes
        for node in lab.nodes:
            lab.join(LOCKSPACE, node)
        for node in lab.nodes:
            lab.start_load(LOCKSPACE, node, log=False, ops=500, handles=32, res=100)
        for node in lab.nodes:
            lab.wait_load(node)
        for what, data in forged_frames(lab.lockspace_id(LOCKSPACE)):
            lab.note("forged", shot=what, hexdata=data.hex(), src="10.77.0.2")
            escaped = "".join(f"\\x{byte:02x}" for byte in data)
            second.sh(f"(printf '{escaped}'; sleep 0.5) | timeout 2 nc 10.77.0.1 21064 > /tmp/nc.out", check=False)
            time.sleep(0.5)
            lab.note("kernel says", dmesg=first.sh("dmesg | grep dlm | tail -3", check=False))
        second.sh("ip addr add 10.77.0.99/24 dev eth0; ip route add 10.77.0.1/32 dev eth0 src 10.77.0.99")
        lab.note("forged from a stranger 10.77.0.99")
        second.sh("(echo hello; sleep 1) | timeout 2 nc 10.77.0.1 21064", check=False)
        time.sleep(1)
        second.sh("ip route del 10.77.0.1/32; ip addr del 10.77.0.99/24 dev eth0")
        lab.note("kernel says", dmesg=first.sh("dmesg | grep dlm | tail -3", check=False))
        for node in lab.nodes:
            lab.start_load(LOCKSPACE, node, log=False, ops=300, handles=32, res=100)
        for node in lab.nodes:
            lab.wait_load(node, timeout=40)
        lab.leave_all(LOCKSPACE)
        time.sleep(2)


def big() -> None:
    """Heavy load for minutes, a ring of 20 MB files at the tap of each node."""
    seconds = 200
    with Lab("big-3.2-tcp", ["6.1", "6.1"], trace=False) as lab:
        for number in (1, 2):
            lab.capture(f"big-3.2-tcp.n{number}.ring.pcap", device=f"tap{number}a", options="-C 20")
        for node in lab.nodes:
            lab.join(LOCKSPACE, node)
        for node in lab.nodes:
            lab.start_load(LOCKSPACE, node, log=False, ops=ENDLESS, secs=seconds, handles=400, res=2000, lvb=60)
        time.sleep(seconds)
        for node in lab.nodes:
            lab.wait_load(node, timeout=120)
        time.sleep(1)
        lab.leave_all(LOCKSPACE)
        time.sleep(2)


SCENARIOS: dict[str, Callable[[], object]] = {
    "big-3.2-tcp": big,
    "blackhole-tcp": blackhole_tcp,
    "clean-3.1-tcp": partial(clean, "clean-3.1-tcp", ["5.10", "5.10"], 2000),
    "clean-3.2-tcp": partial(clean, "clean-3.2-tcp", ["6.1", "6.1"], 2000),
    "clean-6.12-tcp": partial(clean, "clean-6.12-tcp", ["6.12", "6.12"], 2000),
    "crash-3node": partial(crash, "crash-3node", "6.1"),
    "crash-3node-6.12": partial(crash, "crash-3node-6.12", "6.12"),
    "forged-3.2-tcp": forged,
    "gfs2-2node": partial(gfs2, "gfs2-2node", "6.1"),
    "gfs2-6.12": partial(gfs2, "gfs2-6.12", "6.12"),
    "ipv6-tcp": partial(clean, "ipv6-tcp", ["6.1", "6.1"], 1000, networks=("fd77::%d",)),
    "mid-capture": mid_capture,
    "mixed-3.1-3.2": partial(clean, "mixed-3.1-3.2", ["5.10", "6.1"], 2000),
    "mixed-3.1-6.12": partial(clean, "mixed-3.1-6.12", ["5.10", "6.12"], 1000),
    "mixed-6.1-6.12": partial(clean, "mixed-6.1-6.12", ["6.1", "6.12"], 1000),
    "netem-tcp": netem_tcp,
    "reboot-2node": reboot_2node,
    "recovery-locks-3node": recovery_locks,
    "rst-3.1-tcp": partial(resets, "rst-3.1-tcp", ["5.10", "5.10"], seconds=12, kills=4),
    "rst-3.2-tcp": partial(resets, "rst-3.2-tcp", ["6.1", "6.1"]),
    "rst-6.12-tcp": partial(resets, "rst-6.12-tcp", ["6.12", "6.12"]),
    "rst-oneside-3.2-tcp": partial(
        resets, "rst-oneside-3.2-tcp", ["6.1"] * 2, rate=300, seconds=26, kills=3, mode="receiver", every=7.0
    ),
    "rst-oneside-6.12-tcp": partial(
        resets, "rst-oneside-6.12-tcp", ["6.12"] * 2, rate=300, seconds=26, kills=3, mode="receiver", every=7.0
    ),
    "rst-stall-6.12-tcp": stall,
    "sctp-3.2": partial(clean, "sctp-3.2", ["6.1", "6.1"], 1500, sctp=True),
    "sctp-6.12": partial(clean, "sctp-6.12", ["6.12", "6.12"], 1500, sctp=True),
    "sctp-multihome": sctp_multihome,
    "two-spaces-3node": two_spaces,
}


def main() -> None:
    names = sys.argv[1:]
    if not names or names == ["-l"]:
        print("\n".join(SCENARIOS))
        return
    for name in names:
        try:
            SCENARIOS[name]()
        except Exception:
            traceback.print_exc()


if __name__ == "__main__":
    main()
