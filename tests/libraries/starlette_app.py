"""Starlette with starsessions over Redis. See README.md."""

import asyncio
import json

import common
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starsessions import SessionAutoloadMiddleware, SessionMiddleware
from starsessions.session import get_session_id
from starsessions.stores.redis import RedisStore

_, port, database = common.arguments()
loop = asyncio.new_event_loop()
connection = Redis(port=port, db=database)


async def login(request):
    request.session["user"] = request.path_params["user"]
    return JSONResponse({})


async def change(request):
    request.session["seen"] = request.session.get("seen", 0) + 1
    return JSONResponse({})


async def read(request):
    return JSONResponse({"user": request.session.get("user")})


async def logout(request):
    request.session.clear()
    return JSONResponse({})


app = Starlette(
    routes=[Route("/login/{user}", login), Route("/change", change), Route("/read", read), Route("/logout", logout)]
)
app.add_middleware(SessionAutoloadMiddleware)
app.add_middleware(
    SessionMiddleware,
    store=RedisStore(connection=connection),
    lifetime=common.LIFETIME_S,
    cookie_https_only=False,
)


async def request(path, cookie):
    """One request over ASGI, without a server."""
    headers = [(b"cookie", f"session={cookie}".encode())] if cookie else []
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": headers, "scheme": "http"}
    body, kept = b"", cookie

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        nonlocal body, kept
        if message["type"] == "http.response.start":
            assert message["status"] == 200, message
            for name, value in message["headers"]:
                if name.lower() == b"set-cookie":
                    kept = value.decode().split(";")[0].split("=", 1)[1]
        else:
            body += message.get("body", b"")

    await app(scope, receive, send)
    return json.loads(body), kept


def ask(path, cookie):
    answer, kept = loop.run_until_complete(request(path, cookie))
    # The cookie is the id.
    return {"id": kept, **answer}, kept


common.run(ask)
loop.run_until_complete(connection.aclose())
