"""UDP (or UDP-Lite) from the standard socket interface.

udp_peer.py serve PORT [lite]      answers each datagram: "echo", "twice", "silent", or N datagrams for "stream N"
udp_peer.py ADDRESS PORT WHAT...   one socket per WHAT: text[*count][@localport][!], where ! sends checksum zero
"""
import socket
import sys
import time

SO_NO_CHECK = 11
UDPLITE = 136


def open_socket(family, lite):
    return socket.socket(family, socket.SOCK_DGRAM, UDPLITE if lite else 0)


def serve(port, lite):
    with open_socket(socket.AF_INET6, lite) as peer:
        peer.bind(("::", port))
        while True:
            data, sender = peer.recvfrom(65535)
            word, _, rest = data.decode().partition(" ")
            if word == "stream":
                for number in range(int(rest)):
                    peer.sendto(b"%d" % number * 100, sender)
            elif word != "silent":
                for _ in range(2 if word == "twice" else 1):
                    peer.sendto(data, sender)


def ask(address, port, what, lite):
    text, unchecked, _ = what.partition("!")
    text, _, local = text.partition("@")
    text, _, count = text.partition("*")
    with open_socket(socket.AF_INET6 if ":" in address else socket.AF_INET, lite) as peer:
        if unchecked:
            peer.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
        if local:
            peer.bind(("", int(local)))
        peer.connect((address, port))
        peer.settimeout(0.15)
        for _ in range(int(count or 1)):
            peer.send(text.replace("_", " ").encode())
            try:
                while not text.startswith("silent"):
                    peer.recv(65535)
                    if not text.startswith(("stream", "twice")):
                        break
            except (TimeoutError, ConnectionError):
                pass
            time.sleep(0.005)


lite = "lite" in sys.argv
words = [word for word in sys.argv[1:] if word != "lite"]
if words[0] == "serve":
    serve(int(words[1]), lite)
for what in words[2:]:
    ask(words[0], int(words[1]), what, lite)
