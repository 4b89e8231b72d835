"""Sends frames: inject.py DEVICE, a frame in hexadecimals on each line of standard input."""
import socket
import sys
import time

PAUSE_SECONDS = 0.0003

wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
wire.bind((sys.argv[1], 0))
for line in sys.stdin:
    wire.send(bytes.fromhex(line))
    time.sleep(PAUSE_SECONDS)
