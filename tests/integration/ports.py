"""Ports for servers that must be told one, and for nobody at all.

A port the system chose and has back is anybody's: the next connection of the test beside may have it before the server
does, or while the server is away. So these lie below those the system chooses from, and each is one process's."""
import random
import socket

ROOM = 12000
_claims = []  # held until the process ends


def _range():
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as f:
        low, high = map(int, f.read().split())
    return range(max(low - ROOM, 1024), low) if low > 2048 else range(high + 1, 65536)


def _claimed(port):
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0tiervec-test-port-{port}")
        with socket.socket() as s:
            s.bind(("127.0.0.1", port))
    except OSError:
        claim.close()
        return False
    _claims.append(claim)
    return True


def take():
    """A port nobody listens on, and no other test is given as long as this process lives."""
    ports = _range()
    first = random.SystemRandom().randrange(len(ports))
    for i in range(len(ports)):
        port = ports[(first + i) % len(ports)]
        if _claimed(port):
            return port
    raise AssertionError(f"no port of {ports} is free")
