"""Sends crafted frames over the wire between two namespaces.

send.py SERVER_NAMESPACE    runs in the client's namespace; each line of standard input is `client HEX` or `server HEX`,
                            named after the end that sends the frame
"""
import ctypes
import os
import socket
import sys
import time

CLONE_NEWNET = 0x40000000
PAUSE_SECONDS = 0.0008


def open_wire():
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    wire.bind(("wire", 0))
    return wire


ends = {"client": open_wire()}
namespace = os.open(sys.argv[1], os.O_RDONLY)
if ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET) != 0:
    raise OSError(ctypes.get_errno(), "setns")
ends["server"] = open_wire()
for line in sys.stdin:
    end, data = line.split()
    ends[end].send(bytes.fromhex(data))
    time.sleep(PAUSE_SECONDS)
