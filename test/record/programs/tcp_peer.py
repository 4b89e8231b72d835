"""TCP connections that end, fail or cross in chosen ways.

tcp_peer.py serve PORT             obeys the first line a client sends (see Session)
tcp_peer.py ADDRESS PORT ORDER...  one connection per ORDER: line[@localport], `_` for a blank; the client's own
                                   part is decided by the line as well (see ask)
tcp_peer.py cross ADDRESS PORT LOCALPORT [WHEN]   connects from a fixed port, for simultaneous opens; at WHEN (seconds
                                   since 1970) it first sends a datagram, behind which a slow device holds the SYN
"""
import socket
import socketserver
import struct
import sys
import threading
import time

NO_LINGER = struct.pack("ii", 1, 0)


def abort(peer):
    """Closes with RST."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    peer.close()


class Session(socketserver.BaseRequestHandler):
    def handle(self):
        peer = self.request
        order = peer.recv(100).decode()
        if order.startswith("abort-server"):
            peer.sendall(b"soon gone")
            time.sleep(0.02)
            abort(peer)
        elif order.startswith("close-server"):
            peer.sendall(b"bye")
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(4096):
                pass
        elif order.startswith("unread"):
            time.sleep(0.05)
            peer.close()
        elif order.startswith("close-both"):
            peer.sendall(b"k" * 3000)
            peer.close()
        else:
            peer.sendall(order.encode())
            while data := peer.recv(4096):
                peer.sendall(data)


class Server(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, *_):
        pass


def ask(address, port, order, local):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as peer:
        peer.settimeout(10)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if local:
            peer.bind(("", int(local)))
        peer.connect((address, port))
        peer.sendall(order.encode())
        if order.startswith("abort-client"):
            peer.recv(100)
            abort(peer)
        elif order.startswith("abort-at-once"):
            abort(peer)
        elif order.startswith("half-close"):
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(4096):
                pass
        elif order.startswith("unread"):
            peer.sendall(b"never read" * 20)
            time.sleep(0.1)
            peer.sendall(b"too late")
            time.sleep(0.05)
        elif order.startswith("idle"):
            peer.recv(100)
            time.sleep(0.5)
            peer.sendall(b"again")
            peer.recv(100)
        elif order.startswith("keepalive"):
            peer.recv(100)
            for option, value in ((socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1)):
                peer.setsockopt(socket.IPPROTO_TCP, option, value)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            time.sleep(2.2)
        elif order.startswith("pace"):
            for _ in range(15):
                peer.recv(100)
                time.sleep(0.1)
                peer.sendall(b"pace")
            if order.startswith("pace-abort"):
                abort(peer)
        elif order.startswith("urgent"):
            peer.recv(100)
            peer.send(b"!", socket.MSG_OOB)
            time.sleep(0.05)
        else:
            while peer.recv(4096):
                if not order.startswith("close"):
                    break
    time.sleep(0.05)


def cross(address, port, local, when=0.0):
    if when:
        time.sleep(max(0, when - time.time()))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first:
            first.sendto(bytes(80), (address, port))
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        peer.bind(("", local))
        peer.settimeout(5)
        peer.connect((address, port))
        peer.sendall(b"crossed")
        peer.recv(100)
        time.sleep(0.3)


def main(first, second, *rest):
    if first == "serve":
        Server(("::", int(second)), Session).serve_forever()
    if first == "cross":
        return cross(second, int(rest[0]), int(rest[1]), *map(float, rest[2:]))
    for word in rest:
        order, _, local = word.partition("@")
        try:
            ask(first, int(second), order.replace("_", " "), local)
        except OSError as error:
            print(order, error)


if __name__ == "__main__":
    threading.stack_size(256 * 1024)
    main(*sys.argv[1:])
