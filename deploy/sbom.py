#!/usr/bin/python3
"""Finishes the bill of materials that cargo-cyclonedx wrote, and holds it against `cargo tree` on the standard input: sbom.py RAW OUTPUT

The tool works on the resolution of cargo, which also holds crates that only a feature that is off would bring; they are taken out. It names
our own package by the folder in which it was built, which is nobody's business. What is left must be exactly the crates of the tree, each
with name, version, purl, licence and, from the registry, its checksum.
"""

import json
import sys


def crates_of_the_tree(lines):
    crates = set()
    for line in lines:
        words = line.split()
        if words:
            crates.add((words[0], words[1].removeprefix("v")))
    return crates


def renamed(text, names):
    return names.get(text, text)


def main():
    raw, output = sys.argv[1:]
    with open(raw, encoding="utf-8") as file:
        document = json.load(file)
    tree = crates_of_the_tree(sys.stdin)
    root = document["metadata"]["component"]
    names = {root["bom-ref"]: f"{root['name']}@{root['version']}"}
    root["bom-ref"] = names[next(iter(names))]
    root["purl"] = f"pkg:cargo/{root['name']}@{root['version']}"
    # The targets of the package itself (its library and its binary), which are named by that folder as well.
    root.pop("components", None)

    kept = [component for component in document["components"] if (component["name"], component["version"]) in tree]
    left_out = sorted({component["name"] for component in document["components"]} - {component["name"] for component in kept})
    document["components"] = kept
    refs = {component["bom-ref"] for component in kept} | {root["bom-ref"]}
    dependencies = []
    for dependency in document["dependencies"]:
        ref = renamed(dependency["ref"], names)
        if ref in refs:
            on = [renamed(other, names) for other in dependency.get("dependsOn", [])]
            dependencies.append({"ref": ref, "dependsOn": [other for other in on if other in refs]})
    document["dependencies"] = dependencies

    problems = []
    found = {(component["name"], component["version"]) for component in kept} | {(root["name"], root["version"])}
    problems += [f"{name} {version} is not in it" for name, version in sorted(tree - found)]
    for component in [root, *kept]:
        wanted = ["name", "version", "purl", "licenses"] + (["hashes"] if component is not root else [])
        problems += [f"{component['name']} has no {key}" for key in wanted if not component.get(key)]
        if f"{component['name']}@{component['version']}" not in component.get("purl", "").replace("%2B", "+"):
            problems.append(f"{component['name']} has a purl of something else")
    if not any(dependency["ref"] == root["bom-ref"] and dependency["dependsOn"] for dependency in dependencies):
        problems.append("nothing depends on anything")
    text = json.dumps(document, indent=1, sort_keys=True) + "\n"
    if "file://" in text:
        problems.append("it names a folder of this machine")
    if problems:
        sys.exit("sbom: " + "; ".join(problems))
    with open(output, "w", encoding="utf-8") as file:
        file.write(text)
    unused = f", without {', '.join(left_out)} (of features that are off)" if left_out else ""
    print(f"sbom: {output}: CycloneDX {document['specVersion']}, {len(kept)} crates{unused}")


if __name__ == "__main__":
    main()
