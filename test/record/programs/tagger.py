"""Puts VLAN tags around everything: frames from a tap device go out tagged on `wire`, and come back without.

tagger.py ADDRESS4 ADDRESS6 TYPE:TCI...    types and tag control information in hexadecimal, outer tag first
"""
import fcntl
import os
import select
import socket
import struct
import subprocess
import sys

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x2, 0x1000
SOL_PACKET, PACKET_AUXDATA = 263, 8
AUXDATA = struct.Struct("IIIHHHH")
VLAN_VALID, TPID_VALID = 0x10, 0x40
ETH_P_ALL = 3
OUTGOING = 4
MACS = 12

address4, address6, *tags = sys.argv[1:]
header = b"".join(bytes.fromhex(part) for tag in tags for part in tag.split(":"))

tap = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH", b"tap0", IFF_TAP | IFF_NO_PI))
for command in (
    "ip link set tap0 mtu 1400 up",
    f"ip addr add {address4}/24 dev tap0",
    f"ip -6 addr add {address6}/64 dev tap0 nodad",
):
    subprocess.run(command.split(), check=True)

wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
wire.bind(("wire", ETH_P_ALL))
wire.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)


def receive():
    """A frame as it was on the wire; the kernel hands over the outer tag separately."""
    data, ancillary, _, sender = wire.recvmsg(9216, 256)
    if sender[2] == OUTGOING:
        return b""
    for level, kind, value in ancillary:
        if level == SOL_PACKET and kind == PACKET_AUXDATA:
            status, *_, tci, tpid = AUXDATA.unpack(value[: AUXDATA.size])
            if status & VLAN_VALID:
                outer = struct.pack("!HH", tpid if status & TPID_VALID else 0x8100, tci)
                return data[:MACS] + outer + data[MACS:]
    return data


while True:
    for ready in select.select([tap, wire], [], [])[0]:
        if ready is wire:
            frame = receive()
            if frame[MACS : MACS + len(header)] == header:
                os.write(tap, frame[:MACS] + frame[MACS + len(header) :])
        else:
            frame = os.read(tap, 9216)
            wire.send(frame[:MACS] + header + frame[MACS:])
