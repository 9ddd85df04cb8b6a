"""Ports of the loopback: one that is free, and who holds one that isn't."""

from __future__ import annotations

import random
import socket

from pipelinekit.errors import UsageError

HOST = "127.0.0.1"
# Below the range from which systems take the ports of outgoing connections: a client that keeps
# trying a port of that range while its server is down can end up connected to itself, and the
# server then finds its port taken.
_FREE_FROM, _FREE_TO = 15_000, 32_000
_TRIES = 200


def free_port() -> int:
    """A port that nothing listens on now."""
    for _ in range(_TRIES):
        port = random.randrange(_FREE_FROM, _FREE_TO)
        if is_free(port):
            return port
    raise UsageError(f"no free port found between {_FREE_FROM} and {_FREE_TO}")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: the connections of one that has just ended don't hold its port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def require_free(port: int, service: str) -> None:
    """Raises UsageError that names who holds the port."""
    if is_free(port):
        return
    raise UsageError(
        f"port {port}, wanted for {service}, is held by {_holder(port)}",
        help=f"stop that process, or choose another port: --port {service}=PORT",
    )


def _holder(port: int) -> str:
    """The process that listens on the port, as far as this user may see."""
    import psutil

    try:
        for connection in psutil.net_connections(kind="tcp"):
            if connection.status != psutil.CONN_LISTEN or connection.pid is None:
                continue
            if tuple(connection.laddr)[1:] == (port,):
                process = psutil.Process(connection.pid)
                command = " ".join(process.cmdline())[:80] or process.name()
                return f"process {connection.pid} ({command})"
    except psutil.Error:
        pass
    return "another process"
