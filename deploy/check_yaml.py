#!/usr/bin/python3
"""Parses Kubernetes manifests and holds every container to what the `restricted` pod security standard asks.

With --extract FOLDER it writes every inline configuration of the exporter into FOLDER instead.
"""

import sys
from pathlib import Path

import yaml


def pod_spec(document):
    return document["spec"] if document["kind"] == "Pod" else document["spec"]["template"]["spec"]


def problems(container, pod):
    pod_context, context = pod.get("securityContext", {}), container.get("securityContext", {})
    merged = {**pod_context, **context}
    if merged.get("runAsNonRoot") is not True:
        yield "runAsNonRoot is not true"
    if merged.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "no RuntimeDefault seccomp profile"
    if context.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    if context.get("capabilities", {}).get("drop") != ["ALL"]:
        yield "capabilities are not dropped"
    if context.get("readOnlyRootFilesystem") is not True:
        yield "the root file system is writable"
    if not container.get("resources", {}).get("requests") or not container["resources"].get("limits", {}).get("memory"):
        yield "no resource requests or no memory limit"


def main():
    arguments = sys.argv[1:]
    folder = None
    if arguments[:1] == ["--extract"]:
        folder, arguments = Path(arguments[1]), arguments[2:]
    found = []
    for name in arguments:
        for document in yaml.safe_load_all(Path(name).read_text()):
            if document is None or document["kind"] not in ("Pod", "Deployment"):
                if folder and document and document["kind"] == "ConfigMap" and "exporter.yaml" in document["data"]:
                    (folder / f"{Path(name).stem}-configmap.yaml").write_text(document["data"]["exporter.yaml"])
                continue
            pod = pod_spec(document)
            for container in pod["containers"]:
                found += [f"{name}: container {container['name']}: {problem}" for problem in problems(container, pod)]
                for variable in container.get("env", []):
                    if variable["name"] == "REDIS_SESSION_EXPORTER_CONFIG":
                        yaml.safe_load(variable["value"])
                        if folder:
                            (folder / f"{Path(name).stem}-inline.yaml").write_text(variable["value"])
    if found:
        sys.exit("\n".join(found))
    if not folder:
        print(f"deploy/check: {len(arguments)} Kubernetes manifests parse and are restricted")


if __name__ == "__main__":
    main()
