#!/usr/bin/env python3
"""Reads dashboards into the models of Grafana's own SDK and writes them again: what does not come back, Grafana does not know.

Usage: models.py DASHBOARD.json...
"""

import json
import sys

from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard


def named(value):
    """What people call a part of a list."""
    if isinstance(value, dict):
        return value.get("title") or value.get("name") or value.get("refId")
    return None


def differences(before, after, place=""):
    """Everything of `before` that is missing or different in `after`."""
    if isinstance(before, dict):
        if not isinstance(after, dict):
            return [f"{place}: an object became {type(after).__name__}"]
        found = []
        for key, value in before.items():
            if key in after:
                found += differences(value, after[key], f"{place}.{key}")
            else:
                found.append(f"{place}.{key}: unknown to the model")
        return found
    if isinstance(before, list):
        if not isinstance(after, list) or len(before) != len(after):
            return [f"{place}: the list has changed"]
        pairs = enumerate(zip(before, after))
        return [line for at, (old, new) in pairs for line in differences(old, new, f"{place}[{named(old) or at}]")]
    return [] if before == after else [f"{place}: {before!r} became {after!r}"]


def main(files):
    plugins.register_default_plugins()
    problems = 0
    for file in files:
        with open(file, encoding="utf-8") as handle:
            source = json.load(handle)
        try:
            back = json.loads(JSONEncoder(sort_keys=True, indent=2).encode(Dashboard.from_json(source)))
        except Exception as error:  # whatever the models stumble over is a fault of the file
            found = [f"cannot be read: {type(error).__name__}: {error}"]
        else:
            found = differences(source, back)
        for line in found:
            print(f"PROBLEM {source.get('uid')} | {line}")
        problems += len(found)
    if problems:
        sys.exit(1)
    print(f"models: {len(files)} dashboards come back whole from the models of grafana-foundation-sdk")


main(sys.argv[1:])
