#!/usr/bin/env bash
# test_kubernetes.sh: deploy/kubernetes against kubernetes.schema.json, and what a schema cannot say: names that refer to each other do, and the arguments of the
# containers are such as the image's entry and cohort node take. No cluster is needed. Needs python3-yaml and python3-jsonschema (deploy/setup.sh --kubernetes).
set -euo pipefail
program=$(realpath "${1:?build folder}")/bin/cohort
cd "$(dirname "$(realpath "$0")")/../.."
if ! python3 -c 'import yaml, jsonschema' 2>/dev/null; then
    echo "test_kubernetes: SKIPPED, NOTHING WAS TESTED: no python3-yaml or python3-jsonschema (deploy/setup.sh --kubernetes)" >&2
    exit 77
fi
python3 - "$program" <<'END'
import copy, json, re, subprocess, sys
import jsonschema, yaml

schema = json.load(open("tests/hosts/kubernetes.schema.json"))
jsonschema.Draft7Validator.check_schema(schema)
documents = list(yaml.safe_load_all(open("deploy/kubernetes/cohort.yaml")))
by_kind = {d["kind"]: d for d in documents}
definitions = {"definitions": schema["definitions"]}

def errors(document):
    # By its kind, not by oneOf: the messages are of use then.
    kind = document.get("kind")
    return [f"{kind}: {'/'.join(map(str, e.path))}: {e.message}"
            for e in jsonschema.Draft7Validator({"$ref": f"#/definitions/{kind}", **definitions}).iter_errors(document)]

found = [e for d in documents for e in errors(d)]
assert set(by_kind) == {"MPIJob", "Service", "PersistentVolumeClaim"}, by_kind

# The schema must be able to fail: a misspelt field at every level is found.
def spoilt(value, path=()):
    if isinstance(value, dict):
        for key in value:
            yield path + (key,)
            yield from spoilt(value[key], path + (key,))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from spoilt(item, path + (i,))

free = ("matchLabels", "selector", "requests", "limits")  # maps with names of one's own choice
tried = 0
for document in documents:
    for path in list(spoilt(document)):
        if len(path) > 1 and path[-2] in free or path == ("kind",):
            continue
        bad = copy.deepcopy(document)
        at = bad
        for step in path[:-1]:
            at = at[step]
        at[path[-1] + "x"] = at.pop(path[-1])
        tried += 1
        if not errors(bad):
            found.append(f"the schema does not notice {document['kind']}: {'/'.join(map(str, path))}x")

job = by_kind["MPIJob"]
specs = job["spec"]["mpiReplicaSpecs"]
for role, spec in specs.items():
    pod = spec["template"]["spec"]
    volumes = {v["name"] for v in pod["volumes"]}
    for container in pod["containers"]:
        mounts = {m["name"] for m in container["volumeMounts"]}
        if mounts != volumes:
            found.append(f"{role}: volumes {volumes} but mounts {mounts}")
        ports = {p["name"] for p in container.get("ports", [])}
        probe = container.get("readinessProbe", {}).get("tcpSocket", {}).get("port")
        if probe and probe not in ports:
            found.append(f"{role}: probe of unknown port {probe}")
        names = {e["name"] for e in container["env"]}
        for variable in re.findall(r"\$\(([A-Z_]+)\)", json.dumps(container)):
            if variable not in names:
                found.append(f"{role}: $({variable}) is not set")
        known = set(re.findall(r"\bCOHORT_[A-Z_]+\b", open("deploy/container/entry").read() + open("deploy/cohort-launch").read()))
        for name in names:
            if name.startswith("COHORT_") and name not in known:
                found.append(f"{role}: the entry does not know {name}")
claim = by_kind["PersistentVolumeClaim"]["metadata"]["name"]
worker = specs["Worker"]["template"]["spec"]
if claim not in [v["persistentVolumeClaim"]["claimName"] for v in worker["volumes"] if "persistentVolumeClaim" in v]:
    found.append("workers do not use the claim")
selector = by_kind["Service"]["spec"]["selector"]
if selector["training.kubeflow.org/job-name"] != job["metadata"]["name"]:
    found.append("the service selects another job")
open_ports = {p["containerPort"] for p in worker["containers"][0]["ports"]}
if not {p["port"] for p in by_kind["Service"]["spec"]["ports"]} <= open_ports:
    found.append("the service names ports that workers do not have")
launcher = specs["Launcher"]["template"]["spec"]["containers"][0]
ready = next(e["value"] for e in launcher["env"] if e["name"] == "COHORT_READY").split(":")[0]
if ready != by_kind["Service"]["metadata"]["name"]:
    found.append("the launcher asks another service whether the cluster is ready")
help_text = subprocess.run([sys.argv[1], "node", "--help"], capture_output=True, text=True, check=True).stdout
for argument in launcher["args"][1:]:
    option = argument.split("=")[0]
    if not re.search(re.escape(option) + r"\b", help_text):
        found.append(f"cohort node does not know {option}")

for error in found:
    print(error, file=sys.stderr)
print(f"test_kubernetes: {len(documents)} documents, {tried} spoilt fields noticed; " + ("FAILED" if found else "passed"))
sys.exit(bool(found))
END
