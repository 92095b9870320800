"""Runs a program that was compiled with --weights=none: `bench --synthetic` must
measure it, everything else must say what it lacks: check_synthetic.py PROGRAM."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools"))
import checks
from checks import fail

PROGRAM = os.path.abspath(sys.argv[1])
BENCH = ["bench", "-p", "12", "-n", "2", "-r", "1", "--no-probe"]


def call(*args):
    done = subprocess.run([PROGRAM, *args], capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout, done.stderr


def good(*args):
    rc, out, err = call(*args)
    if rc or err:
        raise RuntimeError(f"{args}: exit {rc}: {err}")
    return out


def check_bench():
    # A result that is not finite would be a run error.
    tests = json.loads(good(*BENCH, "--synthetic", "--json", "-d", "0,20", "-np", "1,3"))
    if len(tests) != 6 or not all(t["mean"] > 0 and t["synthetic"] is True and t["weights_bytes"] > 0 and
                                  t["parameters"] > 0 for t in tests):
        fail(f"{tests}")
    for style in ["--all-logits"], ["--md", "--no-kv-skip"]:
        table = good(*BENCH, "--synthetic", *style)
        if ", synthetic" not in table:
            fail(f"table: {table}")


def check_refusals():
    with open(PROGRAM + ".ids", "w") as f:
        f.write("1 2 3")
    for args in (BENCH, ["run", "--tokens", PROGRAM + ".ids"], ["eval", "--tokens", PROGRAM + ".ids"], ["chat"],
                 ["info", "--card"]):
        rc, out, err = call(*args)
        if rc != 4 or out or "was compiled without weights" not in err or "bench --synthetic" not in err or \
                not err.startswith("error: ") or err.count("\n") != 1:
            fail(f"{args}: exit {rc}: {out!r} {err!r}")


def check_info():
    text, facts = good("info"), json.loads(good("info", "--json"))
    if "none: synthetic only" not in text or "\nsources" in text or facts["weightless"] is not True or facts["sources"]:
        fail(f"info: {text}")
    # f32 at most; less than 4 bits of a parameter are never stored.
    if not 0.5 < facts["weights_bytes"] / facts["model"]["parameters"] < 4.5:
        fail(f"info: {facts}")
    if not good("info", "--verify").startswith("all hashes match: 0 weights, "):
        fail("info --verify")
    if os.path.getsize(PROGRAM) > 40e6:
        fail(f"{os.path.getsize(PROGRAM)} bytes")


checks.run([check_bench, check_refusals, check_info])
