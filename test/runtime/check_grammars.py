"""Compares grammars with the package jsonschema: check_grammars.py TOOL CASES.

Each line of CASES is a schema, or {"schema": ..., "valid": [...], "invalid":
[...], ...}. What random walks write must be JSON that jsonschema accepts; valid
instances are taken, invalid ones are not. SEED=N draws other walks, WALKS=N as
many."""
import json
import os
import subprocess
import sys

import jsonschema

TOOL, CASES = sys.argv[1:3]
SEED = int(os.environ.get("SEED", "1"))
WALKS = int(os.environ.get("WALKS", "25"))
tool = subprocess.Popen([TOOL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
# The second name is that of versions up to 4.15.
FORMATS = getattr(jsonschema.Draft202012Validator, "FORMAT_CHECKER", None) or jsonschema.draft202012_format_checker
bad = written = unfinished = 0


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
    global written, unfinished
    schema = case["schema"]
    valid, invalid = case.get("valid", []), case.get("invalid", [])
    answer = ask(schema=schema, random=WALKS, seed=SEED + number, steps=25,
                 accept=[text_of(v, n % 2 == 0) for n, v in enumerate(valid + invalid)])
    if "error" in answer:
        return wrong(schema, "is refused:", answer["error"])
    if "bad" in answer:
        wrong(schema, answer["bad"])
    for n, (value, taken) in enumerate(zip(valid + invalid, answer.get("accept", []))):
        if taken != (n < len(valid)):
            wrong(schema, value, "taken" if taken else "not taken")
    checker = jsonschema.Draft202012Validator(schema, format_checker=FORMATS)
    unfinished += answer.get("unfinished", 0)
    for text in filter(None, answer["random"]):
        written += 1
        try:
            checker.validate(json.loads(text))
        except (ValueError, jsonschema.ValidationError) as error:
            wrong(schema, repr(text), str(error).split("\n")[0])


with open(CASES, encoding="utf-8") as lines:
    cases = [json.loads(line) for line in lines if line.strip()]
for number, case in enumerate(cases):
    check(case, number)
print(f"{len(cases)} schemas, {written} texts, {unfinished} walks without an end, {bad} wrong")
if bad or written < 5 * len(cases):
    sys.exit(1)
