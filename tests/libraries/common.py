"""What the Python programs share: the script of logins, and how they are called. See README.md."""

import json
import sys
import time

LIFETIME_S = 3600


def arguments():
    """(library, port, database)"""
    return sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def run(ask):
    """Plays the action. `ask(path, cookie)` makes a request and returns (the answer's JSON, the cookie to send from now on)."""
    action, state = sys.argv[4], sys.argv[5]
    if action == "create":
        sessions = []
        for user in range(40):
            answer, cookie = ask(f"/login/user{user}", None)
            sessions.append({"id": answer["id"], "cookie": cookie})
        for session in sessions[:10]:
            ask("/change", session["cookie"])
        living, ended = sessions[:-8], sessions[-8:]
        for session in ended:
            ask("/logout", session["cookie"])
        with open(state, "w", encoding="utf-8") as file:
            json.dump({"living": living, "ended": ended}, file)
        return
    with open(state, encoding="utf-8") as file:
        living = json.load(file)["living"]
    # Ten minutes later, for the libraries that reckon with the clock.
    real_time = time.time
    time.time = lambda: real_time() + 600
    for session in living:
        answer, _ = ask("/read", session["cookie"])
        assert answer["user"], "a session was not found again"
