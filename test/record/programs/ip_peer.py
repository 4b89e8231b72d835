"""IP payloads of any protocol number over raw sockets.

ip_peer.py serve PROTOCOL...               sends each payload back where it came from
ip_peer.py ADDRESS PROTOCOL:HEX[*count]...
"""
import selectors
import socket
import sys
import time

FAMILIES = (socket.AF_INET, socket.AF_INET6)


def open_raw(family, protocol):
    return socket.socket(family, socket.SOCK_RAW, protocol)


def payload(family, packet):
    """Raw IPv4 sockets deliver the IP header too."""
    return packet[(packet[0] & 15) * 4 :] if family == socket.AF_INET else packet


def serve(protocols):
    ready = selectors.DefaultSelector()
    for protocol in protocols:
        for family in FAMILIES:
            ready.register(open_raw(family, protocol), selectors.EVENT_READ)
    while True:
        for key, _ in ready.select():
            packet, sender = key.fileobj.recvfrom(65535)
            key.fileobj.sendto(payload(key.fileobj.family, packet), sender)


if sys.argv[1] == "serve":
    serve([int(word) for word in sys.argv[2:]])
for what in sys.argv[2:]:
    protocol, _, data = what.partition(":")
    data, _, count = data.partition("*")
    with open_raw(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, int(protocol)) as peer:
        for _ in range(int(count or 1)):
            peer.sendto(bytes.fromhex(data), (sys.argv[1], 0))
            time.sleep(0.01)
