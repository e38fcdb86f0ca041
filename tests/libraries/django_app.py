"""Django with sessions in its Redis cache (`cache`), or in its database with that cache before it (`cached_db`). See README.md."""

import os
import sys

import common
from django.conf import settings

library, port, database = common.arguments()
settings.configure(
    SECRET_KEY="only for tests",
    ALLOWED_HOSTS=["testserver"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.sessions"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
    SESSION_ENGINE="django.contrib.sessions.backends." + library,
    SESSION_COOKIE_AGE=common.LIFETIME_S,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[5] + ".sqlite3"}},
    CACHES={"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": f"redis://127.0.0.1:{port}/{database}"}},
)

import django  # noqa: E402  the settings come first
from django.core.cache import cache  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.http import JsonResponse  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import path as route  # noqa: E402

django.setup()


def login(request, user):
    request.session["user"] = user
    request.session.save()
    return JsonResponse({"id": request.session.session_key})


def change(request):
    request.session["seen"] = request.session.get("seen", 0) + 1
    return JsonResponse({})


def read(request):
    return JsonResponse({"user": request.session.get("user")})


def logout(request):
    request.session.flush()
    return JsonResponse({})


urlpatterns = [
    route("login/<str:user>", login),
    route("change", change),
    route("read", read),
    route("logout", logout),
]


def ask(path, cookie):
    client = Client()
    if cookie:
        client.cookies["sessionid"] = cookie
    answer = client.get(path)
    assert answer.status_code == 200, answer
    return answer.json(), client.cookies["sessionid"].value if "sessionid" in client.cookies else None


if library == "cached_db" and not os.path.exists(settings.DATABASES["default"]["NAME"]):
    call_command("migrate", verbosity=0)
# Ordinary entries of the same cache.
for number in range(10):
    cache.set(f"product.{number}", number)
common.run(ask)
