"""check_info_formats.py PROGRAM PLAN: the formats that `PROGRAM info` prints
against the weights of its plan."""
import json
import re
import subprocess
import sys

program, plan = sys.argv[1:]
body, head = {}, None
for line in open(plan):
    weight = re.match(r"\s*kernel\.weight @(\S+) (\w+) in (\w+) .*? bytes (\d+)\b", line)
    if not weight:
        continue
    name, form, layout, size = weight.groups()
    if name in ("embed", "embed.low"):
        head = form
    elif not layout.endswith("_rows"):
        share = body.setdefault(form, {"matrices": 0, "bytes": 0})
        share["matrices"] += 1
        share["bytes"] += int(size)
assert {"q4_bf", "q8_0", "bf16", "f32"} <= set(body) and head == "q8_0", (body, head)


def info(*args):
    return subprocess.run([program, "info", *args], check=True, capture_output=True, text=True).stdout


found = json.loads(info("--json"))["formats"]
assert found == {"head": head, "body": body}, (found, body)
lines = info().splitlines()
begin = lines.index(f"{'formats':13} head {head}, caches bf16, body:")
total = sum(share["bytes"] for share in body.values())
for line, (form, share) in zip(lines[begin + 1:], sorted(body.items())):
    expected = (f"{form} {share['matrices']} matrices, {share['bytes']} bytes "
                f"({100 * share['bytes'] / total:.1f} %)")
    assert " ".join(line.split()) == expected, (line, expected)
