"""Programs at both ends of a tunnel, on the kernel's own TCP and UDP.

    peer.py server                               answers on port 7000, TCP and UDP, IPv4 and IPv6; has the kernel take
                                                 ESP on port 4500
    peer.py client ADDRESS BYTES SECONDS         prints what came back, as JSON

TCP: the client sends a length of 8 bytes and so many random bytes; they come back, with their SHA-256 behind. UDP: what
is sent comes back.
"""

import hashlib
import json
import os
import socket
import sys
import threading

PORT = 7000
NAT_T_PORT = 4500
# linux/udp.h
UDP_ENCAP = 100
UDP_ENCAP_ESPINUDP = 2
# none, odd ones, and two that are sent in fragments
SIZES = [0, 1, 2, 3, 17, 64, 255, 512, 1000, 1001, 1360, 1361]


def read(connection, length):
    data = b""
    while len(data) < length:
        part = connection.recv(length - len(data))
        if not part:
            raise EOFError(f"{len(data)} of {length} bytes")
        data += part
    return data


def answer(connection):
    with connection:
        digest = hashlib.sha256()
        left = int.from_bytes(read(connection, 8), "big")
        while left > 0:
            part = connection.recv(65536)
            if not part:
                return
            digest.update(part)
            connection.sendall(part)
            left -= len(part)
        connection.sendall(digest.digest())


def nat_traversal(family):
    # as an IKE daemon does it, which would read from it what is no ESP
    udp = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    udp.setsockopt(socket.IPPROTO_UDP, UDP_ENCAP, UDP_ENCAP_ESPINUDP)
    udp.bind(("", NAT_T_PORT))
    return udp


def server():
    ike = [nat_traversal(socket.AF_INET), nat_traversal(socket.AF_INET6)]
    tcp = socket.create_server(("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True)
    udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    udp.bind(("::", PORT))

    def echo():
        while True:
            data, sender = udp.recvfrom(65535)
            udp.sendto(data, sender)

    threading.Thread(target=echo, daemon=True).start()
    print("listening", len(ike), flush=True)
    while True:
        connection, _ = tcp.accept()
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def by_tcp(address, length, seconds):
    try:
        with socket.create_connection((address, PORT), seconds) as connection:
            connection.settimeout(seconds)
            data = os.urandom(length)
            sender = threading.Thread(target=connection.sendall, args=(length.to_bytes(8, "big") + data,), daemon=True)
            sender.start()
            back = read(connection, length + 32)
            return "ok" if back == data + hashlib.sha256(data).digest() else "corrupt"
    except OSError as error:
        return type(error).__name__


def by_udp(address, patience):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    answered = []
    for size in SIZES:
        # a socket for each, so that nobody takes a late answer for another's
        with socket.socket(family, socket.SOCK_DGRAM) as udp:
            udp.settimeout(patience)
            data = os.urandom(size)
            udp.sendto(data, (address, PORT))
            try:
                if udp.recv(65535) == data:
                    answered.append(size)
            except OSError:
                pass
    return answered


def client(address, length, seconds):
    tcp = by_tcp(address, length, seconds)
    udp = by_udp(address, min(seconds / 4, 2))
    print(json.dumps({"tcp": tcp, "udp": udp}), flush=True)


if sys.argv[1] == "server":
    server()
else:
    client(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
