"""Bad DLM frames, each with the words that the event list of the scenario uses for it."""

import struct

VERSION_3_1, VERSION_3_2 = 0x30001, 0x30002
MSG, OPTS, ACK = 1, 3, 4
REQUEST, UNLOCK, GRANT = 1, 3, 9


def header(version: int, second: int, node: int, length: int, command: int) -> bytes:
    return struct.pack("<IIIHBB", version, second, node, length, command, 0)


def message(lockspace: int, kind: int, version: int = VERSION_3_2, node: int = 2) -> bytes:
    name = b"forged\0\0"
    # type, node, pid, lkid, remid, nine words of 0, rqmode EX, bastmode, asts, result
    body = struct.pack("<18I", kind, node, 1, 0xDEADBEEF, 0x12345678, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0)
    return header(version, lockspace, node, 16 + len(body) + len(name), MSG) + body + name


def options(sequence: int, inner: bytes) -> bytes:
    command = inner[14]
    return header(VERSION_3_2, sequence, 2, 24 + len(inner), OPTS) + struct.pack("<BBHI", command, 0, 0, 0) + inner


def forged_frames(lockspace: int) -> list[tuple[str, bytes]]:
    return [
        ("OPTS far in the future, UNLOCK inside", options(999999, message(lockspace, UNLOCK))),
        ("OPTS already seen (seq 5), REQUEST inside", options(5, message(lockspace, REQUEST))),
        ("bare MSG GRANT (3.2 header, no OPTS)", message(lockspace, GRANT)),
        ("bare MSG with a 3.1 header", message(lockspace, UNLOCK, version=VERSION_3_1)),
        ("wrong nodeid 7 in the header", message(lockspace, UNLOCK, node=7)),
        ("unknown command 9", header(VERSION_3_2, lockspace, 2, 24, 9) + bytes(8)),
        ("version 4.0", header(0x40000, lockspace, 2, 24, MSG) + bytes(8)),
        ("length 0xffff", header(VERSION_3_2, lockspace, 2, 0xFFFF, MSG) + bytes(200)),
        ("length 4 (shorter than the header)", header(VERSION_3_2, lockspace, 2, 4, MSG)),
        ("ACK of a sequence number never sent", header(VERSION_3_2, 888888, 2, 16, ACK)),
        ("garbage", bytes(range(256))),
    ]
