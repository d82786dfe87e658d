"""Stands for a task's Python: hands everything to the server, and ends as its child did. Standard library only."""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import time

ADDRESS = "UNLEARNING_TASK_SERVER"
"""Where the server listens."""
HEADER = struct.Struct("!Q")
"""Bytes of the request that follows."""
PATIENCE = 60.0
"""Seconds after which a server that was just started should listen."""


def _connected(address: str) -> socket.socket:
    deadline = time.monotonic() + PATIENCE
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(address)
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return connection


def main() -> int:
    """Exit code of the task."""
    request = {"arguments": sys.argv[1:], "environment": dict(os.environ), "folder": os.getcwd()}
    content = json.dumps(request).encode()
    with _connected(os.environ[ADDRESS]) as connection:
        socket.send_fds(connection, [HEADER.pack(len(content))], [0, 1, 2])
        connection.sendall(content)
        answer = connection.recv(1)
    if not answer:
        print("error: the task's process died before it ended", file=sys.stderr)
        return 1
    return answer[0]


if __name__ == "__main__":
    sys.exit(main())
