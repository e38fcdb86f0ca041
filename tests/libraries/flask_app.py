"""Flask-Session over Redis. See README.md."""

from datetime import timedelta

import common
import redis
from flask import Flask, session
from flask_session import Session

_, port, database = common.arguments()
app = Flask(__name__)
app.config.update(
    SESSION_TYPE="redis",
    SESSION_REDIS=redis.Redis(port=port, db=database),
    PERMANENT_SESSION_LIFETIME=timedelta(seconds=common.LIFETIME_S),
)
Session(app)


@app.get("/login/<user>")
def login(user):
    session["user"] = user
    return {"id": session.sid}


@app.get("/change")
def change():
    session["seen"] = session.get("seen", 0) + 1
    return {}


@app.get("/read")
def read():
    return {"user": session.get("user")}


@app.get("/logout")
def logout():
    session.clear()
    return {}


def ask(path, cookie):
    client = app.test_client()
    if cookie:
        client.set_cookie("session", cookie)
    answer = client.get(path)
    assert answer.status_code == 200, answer
    kept = client.get_cookie("session")
    return answer.json, kept.value if kept else None


common.run(ask)
