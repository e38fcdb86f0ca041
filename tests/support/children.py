"""What the Python harnesses (fixtures, comparison, soak) share: free ports, and waiting with a bound. Standard library only."""

import random
import socket
import sys
import time


def free_port():
    """A loopback port that nobody listens on: below the range of outgoing connections, and low enough that the bus of a cluster
    node (10,000 higher) is a port too."""
    for port in random.sample(range(20000, 30000), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise OSError("no free port")


def wait_for(what, condition, seconds=20):
    """Returns what `condition` returns as soon as that is true; ends the program after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            found = condition()
            if found:
                return found
        except (OSError, EOFError):
            pass
        time.sleep(0.05)
    sys.exit(f"{what} did not happen within {seconds} s")
