"""Checks --json-schema, --json and --grammar of run and chat:
check_structured.py PROGRAM. Works in the current folder."""
import json
import re
import subprocess
import sys

PROGRAM = sys.argv[1]
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "kind": {"enum": ["cat", "dog"]},
        "age": {"type": "integer", "minimum": 0, "maximum": 30},
        "tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]{1,5}$"}, "maxItems": 3},
    },
    "required": ["name", "age", "kind"],
    "additionalProperties": False,
}
GRAMMAR = 'root ::= "yes" | "no" (" " [a-z]{2,4}){1,3}'
bad = 0


def wrong(*words):
    global bad
    bad += 1
    print(*words)


def call(*arguments, stdin=""):
    done = subprocess.run([PROGRAM, *arguments], input=stdin, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def is_cat(text):
    value = json.loads(text)
    return (set(value) <= set(SCHEMA["properties"]) and set(SCHEMA["required"]) <= set(value)
            and isinstance(value["name"], str) and len(value["name"]) <= 12 and value["kind"] in ("cat", "dog")
            and type(value["age"]) is int and 0 <= value["age"] <= 30
            and all(re.fullmatch("[a-z]{1,5}", t) for t in value.get("tags", [])) and len(value.get("tags", [])) <= 3)


def good(what, holds, *arguments, **more):
    code, out, err = call(*arguments, **more)
    try:
        if code or not holds(out):
            wrong(what, arguments, "gave", code, repr(out), err)
    except (ValueError, KeyError, TypeError) as error:
        wrong(what, arguments, "gave", repr(out), error)


def refused(code, words, *arguments):
    got, out, err = call(*arguments)
    if got != code or words not in err:
        wrong(arguments, "gave", got, repr(out), repr(err), "expected", code, words)


with open("schema.json", "w") as file:
    json.dump(SCHEMA, file)
with open("grammar.gbnf", "w") as file:
    file.write(GRAMMAR)
text = json.dumps(SCHEMA)
prompt = ["run", "-p", "Tell me about a cat."]
good("greedy", is_cat, *prompt, "--temp", "0", "--json-schema", "schema.json")
good("all logits", is_cat, *prompt, "--temp", "1", "--top-k", "0", "--json-schema", text)
good("raw", is_cat, *prompt, "--raw", "--json-schema", text)
for seed in range(20):
    good("hot", is_cat, *prompt, "--temp", "2", "--seed", str(seed), "--json-schema", text)
    good("grammar", lambda out: re.fullmatch("yes|no( [a-z]{2,4}){1,3}", out.rstrip("\n")),
         *prompt, "--temp", "2", "--seed", str(seed), "--grammar", GRAMMAR if seed % 2 else "grammar.gbnf")
good("number", lambda out: 0 <= json.loads(out) <= 9, *prompt, "--json-schema",
     '{"type": "integer", "minimum": 0, "maximum": 9}')
# Turns of a chat begin anew.
good("chat", lambda out: len(out.split()) == 2 and {json.loads(t) for t in out.split()} <= {"a", "b"}, "chat", "--json-schema",
     '{"enum": ["a", "b"]}', stdin="one\ntwo\n")
# An object that is not bounded may be cut, but begins as one.
good("json", lambda out: out.startswith("{"), *prompt, "--json", "-n", "20")

refused(2, "exclude each other", *prompt, "--json", "--grammar", GRAMMAR)
refused(2, "--ignore-eos", *prompt, "--json", "--ignore-eos")
refused(3, "cannot read", *prompt, "--json-schema", "nothing.json")
refused(3, "--json-schema: the schema is no JSON", *prompt, "--json-schema", '{"type": ')
refused(3, "'/type'", *prompt, "--json-schema", '{"type": "text"}')
refused(4, "'/properties/a/not'", *prompt, "--json-schema", '{"properties": {"a": {"not": {}}}}')
refused(4, "left recursion", *prompt, "--grammar", 'root ::= root "a"')
refused(3, "line 1", *prompt, "--grammar", 'root ::= "a')
sys.exit(1 if bad else 0)
