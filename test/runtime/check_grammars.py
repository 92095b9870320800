"""Compares grammars with the package jsonschema: check_grammars.py TOOL CASES.

CASES may also be a folder of the JSON-Schema-Test-Suite (tests/draft2020-12): then
schemas may be refused, which is counted by reason, and valid instances need not
be writable (a constant has one spelling, formats are enforced), which is counted.

Each line of CASES is a schema, or {"schema": ..., "valid": [...], "invalid":
[...], ...}. What random walks write must be JSON that jsonschema accepts; valid
instances are taken, invalid ones are not. SEED=N draws other walks, WALKS=N as
many. Objects are open for these, as the draft has them; then random walks again
as who generates has them, without names that the schema does not speak of."""
import collections
import glob
import json
import os
import re
import subprocess
import sys

import jsonschema

TOOL, CASES = sys.argv[1:3]
SEED = int(os.environ.get("SEED", "1"))
WALKS = int(os.environ.get("WALKS", "25"))
tool = subprocess.Popen([TOOL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
# The second name is that of versions up to 4.15.
FORMATS = getattr(jsonschema.Draft202012Validator, "FORMAT_CHECKER", None) or jsonschema.draft202012_format_checker
bad = written = unfinished = narrow = 0
refused = collections.Counter()


def ask(**what):
    tool.stdin.write(json.dumps(what) + "\n")
    tool.stdin.flush()
    return json.loads(tool.stdout.readline())


def text_of(value, escaped):
    """JSON, strings with needless escapes if `escaped`; names never have such."""
    if isinstance(value, dict):
        return "{%s}" % ", ".join(json.dumps(k, ensure_ascii=False) + ": " + text_of(v, escaped)
                                  for k, v in value.items())
    if isinstance(value, list):
        return "[%s]" % ", ".join(text_of(v, escaped) for v in value)
    return json.dumps(value, ensure_ascii=escaped)


def wrong(*words):
    global bad
    bad += 1
    print(*words)


def check(case, number):
    global written, unfinished, narrow
    schema = case["schema"]
    valid, invalid = case.get("valid", []), case.get("invalid", [])
    answer = ask(schema=schema, random=WALKS, seed=SEED + number, steps=25, open=True,
                 accept=[text_of(v, n % 2 == 0) for n, v in enumerate(valid + invalid)])
    if "error" in answer and case.get("suite"):
        refused[re.sub(r"the schema at '[^']*': ?", "", answer["error"])] += 1
        return
    if "error" in answer:
        return wrong(schema, "is refused:", answer["error"])
    if "bad" in answer:
        wrong(schema, answer["bad"])
    for n, (value, taken) in enumerate(zip(valid + invalid, answer.get("accept", []))):
        if case.get("suite") and not taken and n < len(valid):
            narrow += 1
        elif taken != (n < len(valid)):
            wrong(schema, value, "taken" if taken else "not taken")
    closed = ask(schema=schema, random=WALKS, seed=SEED + number, steps=25)
    if "error" in closed or "bad" in closed:
        wrong(schema, "closed:", closed.get("error") or closed.get("bad"))
    checker = jsonschema.Draft202012Validator(schema, format_checker=FORMATS)
    unfinished += answer.get("unfinished", 0)
    for text in filter(None, answer["random"] + closed.get("random", [])):
        written += 1
        try:
            checker.validate(json.loads(text))
        except (ValueError, jsonschema.ValidationError) as error:
            wrong(schema, repr(text), str(error).split("\n")[0])


def suite(folder):
    for name in sorted(glob.glob(os.path.join(folder, "*.json"))):
        with open(name, encoding="utf-8") as f:
            for group in json.load(f):
                tests = group["tests"]
                yield {"suite": True, "schema": group["schema"], "valid": [t["data"] for t in tests if t["valid"]], "invalid": [t["data"] for t in tests if not t["valid"]]}


if os.path.isdir(CASES):
    cases = list(suite(CASES))
else:
    with open(CASES, encoding="utf-8") as lines:
        cases = [json.loads(line) for line in lines if line.strip()]
for number, case in enumerate(cases):
    check(case, number)
for reason, count in refused.most_common():
    print(f"{count} refused: {reason}")
print(f"{len(cases)} schemas, {sum(refused.values())} of them refused, {written} texts, {unfinished} walks without an end, {narrow} valid instances that are not written, {bad} wrong")
if bad or written < 5 * (len(cases) - sum(refused.values())):
    sys.exit(1)
