"""A small DLM cluster of QEMU guests inside one network namespace: network, captures, membership, load, records.

Network: one bridge for each address a node has (br0, br1), one tap for each guest NIC, nothing else attached, no
route out.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
import zlib
from pathlib import Path

import walk
from host import BUILT, LAB, NAMESPACE, PORT, RECORDED, RUN, in_namespace, run
from node import CLUSTER, Node


class Lab:
    def __init__(
        self,
        name: str,
        kernels: list[str],
        *,
        sctp: bool = False,
        networks: tuple[str, ...] = ("10.77.0.%d",),
        memory: int = 384,
        trace: bool = True,
        offload: bool = True,
        disks: tuple[Path, ...] = (),
    ) -> None:
        self.name = name
        self.cluster = "lab"
        self.sctp = sctp
        self.networks = networks
        self.memory = memory
        self.trace = trace
        self.offload = offload
        self.disks = disks
        self.directory = RUN / name
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        RECORDED.mkdir(exist_ok=True)
        self.events: list[dict[str, object]] = []
        self.captures: dict[str, subprocess.Popen[bytes]] = {}
        self.members: dict[str, list[Node]] = {}
        self.nodes = [Node(self, number, kernel) for number, kernel in enumerate(kernels, start=1)]

    def __enter__(self) -> Lab:
        try:
            self.start()
        except BaseException as error:
            self.__exit__(type(error))
            raise
        return self

    def start(self) -> None:
        run(f"ip netns del {NAMESPACE}", check=False)
        run(f"ip netns add {NAMESPACE}")
        run(in_namespace("ip link set lo up"))
        for network in range(len(self.networks)):
            run(in_namespace(f"ip link add br{network} type bridge"))
            run(in_namespace(f"sysctl -qw net.ipv6.conf.br{network}.disable_ipv6=1"), check=False)
            run(in_namespace(f"ip link set br{network} up promisc on"))
        started = time.time()
        for node in self.nodes:
            node.boot()
        for node in self.nodes:
            node.connect()
            node.read_clock()
        self.note(f"guests up, boot took {time.time() - started:.1f} s")
        for node in self.nodes:
            node.set_up()

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        """End what this lab started; a scenario that went through leaves its records."""
        time.sleep(0.5)
        for file in list(self.captures):
            self.stop_capture(file)
        for node in self.nodes:
            if node.is_running and not failed:
                node.collect()
        for node in self.nodes:
            if node.is_running:
                node.power_off()
        run(f"ip netns del {NAMESPACE}", check=False)
        if not failed:
            self.save()

    def note(self, what: str, **details: object) -> None:
        event = {"t": time.time(), "what": what, **details}
        self.events.append(event)
        print(f"{event['t']:.3f} {what} {details or ''}", flush=True)

    # -- captures and faults -----------------------------------------------------------------------------------------

    def capture(self, file: str, device: str = "br0", options: str = "") -> None:
        messages = self.directory / f"{file}.tcpdump"
        command = f"tcpdump -i {device} -U -B 32768 -Z root -w {RECORDED}/{file} {options}"
        with messages.open("w") as log:
            process = subprocess.Popen(in_namespace(command).split(), stdout=subprocess.DEVNULL, stderr=log)
        end = time.time() + 10
        while "listening" not in messages.read_text() and time.time() < end:
            time.sleep(0.05)
        time.sleep(0.2)
        self.captures[file] = process
        self.note("capture started", file=file, dev=device, args=options)

    def stop_capture(self, file: str) -> None:
        time.sleep(0.5)
        process = self.captures.pop(file)
        process.send_signal(signal.SIGTERM)
        process.wait()
        messages = (self.directory / f"{file}.tcpdump").read_text().splitlines()
        self.note("capture stopped", file=file, tcpdump=[line for line in messages if "packets" in line])

    def inject_resets(self, **options: object) -> subprocess.Popen[bytes]:
        arguments = " ".join(f"--{name} {value}" for name, value in options.items())
        with (self.directory / "rst.log").open("w") as log:
            return subprocess.Popen(
                in_namespace(f"python3 {LAB}/rstinject.py --device br0 {arguments}").split(), stdout=log, stderr=log
            )

    def cut(self, tap: str) -> None:
        run(in_namespace(f"ip link set {tap} nomaster"))

    def restore(self, tap: str) -> None:
        run(in_namespace(f"ip link set {tap} master br0"))

    # -- lockspace membership ----------------------------------------------------------------------------------------

    @staticmethod
    def lockspace_id(lockspace: str) -> int:
        """The id that dlm_controld would write."""
        return zlib.crc32(b"dlm:ls:" + lockspace.encode() + b"\0")

    def change_members(self, lockspace: str, stopped: list[Node], members: list[Node]) -> None:
        """Stop the lockspace on those who have it, write the new list, start it on the members."""
        for node in stopped:
            node.stop(lockspace)
        for node in members:
            node.set_members(lockspace, members)
        for node in members:
            node.start(lockspace)
        self.members[lockspace] = members

    def join(self, lockspace: str, node: Node, command: str | None = None) -> None:
        """A node joins; `command` creates the lockspace inside the guest unless dlmtool does."""
        old = self.members.get(lockspace, [])
        members = [*old, node]
        self.note("join", ls=lockspace, node=node.number, members=[member.number for member in members])
        node.create_lockspace(lockspace, command)
        self.change_members(lockspace, old, members)
        node.event_done(lockspace)
        node.wait(f"[ -e /tmp/create.{lockspace}.rc ]")
        self.note("joined", ls=lockspace, node=node.number, result=node.sh(f"cat /tmp/create.{lockspace}").strip())

    def leave(self, lockspace: str, node: Node, command: str | None = None) -> None:
        """A node leaves: its kernel waits for event_done while the others stop, drop it and start."""
        others = [member for member in self.members[lockspace] if member is not node]
        self.note("leave", ls=lockspace, node=node.number, members=[member.number for member in others])
        node.sh_background(command or f"dlmtool remove {lockspace}", "/tmp/remove", "/tmp/remove.rc")
        time.sleep(0.5)
        for member in others:
            member.stop(lockspace)
        space = f"{CLUSTER}/spaces/{lockspace}"
        node.sh(f"rmdir {space}/nodes/* 2>/dev/null; rmdir {space}", check=False)
        node.event_done(lockspace)
        self.change_members(lockspace, [], others)
        node.wait("[ -e /tmp/remove.rc ]")
        self.note("left", ls=lockspace, node=node.number, result=node.sh("cat /tmp/remove /tmp/remove.rc").strip())

    def leave_all(self, lockspace: str, command: str | None = None) -> None:
        for node in reversed(self.members[lockspace]):
            self.leave(lockspace, node, command)

    def lost(self, lockspace: str, node: Node) -> None:
        """A node is gone: the survivors drop its comm and recover."""
        survivors = [member for member in self.members[lockspace] if member is not node]
        self.note(
            "survivors stop and recover",
            ls=lockspace,
            lost=node.number,
            members=[member.number for member in survivors],
        )
        for member in survivors:
            member.stop(lockspace)
            member.remove_comm(node)
        self.change_members(lockspace, [], survivors)

    # -- load --------------------------------------------------------------------------------------------------------

    def start_load(self, lockspace: str, node: Node, tag: str = "load", log: bool = True, **options: object) -> None:
        """Random lock traffic in the background; the options are those of `dlmtool load`."""
        if log:
            options["log"] = f"/mnt/oplog.{node.boots}"
        arguments = " ".join(f"{name}={value}" for name, value in options.items())
        self.note("load", ls=lockspace, node=node.number, args=arguments)
        command = f"dlmtool load {lockspace} seed={node.number * 77 + 1} {arguments}"
        node.sh_background(command, f"/tmp/{tag}.out", f"/tmp/{tag}.rc")

    def wait_load(self, node: Node, tag: str = "load", timeout: float = 300) -> dict[str, int]:
        node.wait(f"[ -e /tmp/{tag}.rc ]", timeout)
        output = node.sh(f"cat /tmp/{tag}.out").strip()
        result: dict[str, int] = json.loads(output)
        self.note("load done", node=node.number, result=result)
        return result

    # -- records -----------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Compress captures and records into recorded/ and write the facts beside them."""
        for node in self.nodes:
            for boot in range(1, node.boots + 1):
                self.save_records(node, boot)
        captures = [file for file in sorted(RECORDED.glob(f"{self.name}.*pcap*")) if file.suffix != ".zst"]
        facts = {
            "name": self.name,
            "cluster": self.cluster,
            "protocol": "sctp" if self.sctp else "tcp",
            "port": PORT,
            "virtio_offload": self.offload,
            "lockspaces": {
                lockspace: {
                    "global_id": self.lockspace_id(lockspace),
                    "global_id_hex": f"{self.lockspace_id(lockspace):08x}",
                }
                for lockspace in self.members
            },
            "nodes": [
                {
                    "nodeid": node.number,
                    "kernel": (BUILT / f"version-{node.kernel}").read_text().split(),
                    "addresses": node.addresses,
                    "mac": [node.mac(network) for network in range(len(self.networks))],
                    "boots": node.boots,
                    "clock": node.clocks,
                    "tracepoints": node.tracepoints,
                }
                for node in self.nodes
            ],
            "events": self.events,
            "rst": self.resets(),
            "frames": {file.name: walk.summary(file) for file in captures},
        }
        (RECORDED / f"{self.name}.json").write_text(json.dumps(facts, indent=1))
        for file in captures:
            run(f"zstd -q --rm -19 -f {file}")

    def save_records(self, node: Node, boot: int) -> None:
        prefix = f"{self.name}.node{node.number}" + (f".boot{boot}" if boot > 1 else "")
        if not (node.share / f"dmesg.{boot}").exists():  # a killed node: what it had logged by then
            (node.share / f"kmsg.{boot}").rename(node.share / f"dmesg.{boot}")
        for kind in ("trace", "dmesg", "oplog"):
            source = node.share / f"{kind}.{boot}"
            if source.exists() and source.stat().st_size:
                run(f"zstd -q -19 -f {source} -o {RECORDED}/{prefix}.{kind}.zst")

    def save_text(self, node: Node, file: str) -> None:
        """Keep a text that the guest wrote to its shared directory."""
        run(f"zstd -q -19 -f {node.share / file} -o {RECORDED}/{self.name}.node{node.number}.{file}.zst")

    def resets(self) -> list[dict[str, object]]:
        log = self.directory / "rst.log"
        if not log.exists():
            return []
        return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
