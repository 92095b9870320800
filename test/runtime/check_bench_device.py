"""Runs `bench` of a program for cards (its path is the argument): what the card
gives, and shares of that."""
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools"))
import checks
from checks import fail

PROGRAM = os.path.abspath(sys.argv[1])
SHORT = ["bench", "-p", "0", "-n", "2", "-r", "2"]
SHARES = (("percent_read", "bytes_per_token", "read_gb_s"), ("percent_int8", "ops_per_token", "int8_gops"))


def good(*args):
    done = subprocess.run([PROGRAM, *args], capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise RuntimeError(f"{args}: exit {done.returncode}: {done.stderr}")
    return done.stdout, done.stderr


def bench_json(*args):
    out, err = good(*SHORT, "--json", *args)
    if err:
        fail(f"{args} printed {err!r}")
    return json.loads(out)[0]


def check_json():
    test = bench_json("--probe")
    probes = test["probe"]["before"], test["probe"]["after"]
    for probe in probes:
        if set(probe) != {"read_gb_s", "int8_gops", "launch_us"} or not all(value > 0 for value in probe.values()):
            fail(f"probe {probe}")
    for share, unit, rate in SHARES:
        # Rates are printed in three digits.
        low = min(probe[rate] for probe in probes) * 1e9
        expected = 100 * test["mean"] * test[unit] / low
        if not 0 < test[share] or abs(test[share] - expected) > 0.5 * expected:
            fail(f"{share} {test[share]}, by the probe {expected}")
    test = bench_json()
    if "probe" in test or not all(test[share] > 0 for share, _, _ in SHARES):
        fail(f"without --probe: {test}")
    test = bench_json("--no-probe")
    if "probe" in test or not all(test[share] is None for share, _, _ in SHARES):
        fail(f"--no-probe: {test}")


def check_tables():
    for style in [], ["--md"]:
        out, err = good(*SHORT, "--probe", *style)
        lines = out.splitlines()
        columns = [re.split(r"\s*\|\s*|\s{2,}", lines[i].strip("| ")) for i in (0, -1)]
        if len(columns[0]) != len(columns[1]):
            fail(f"table: {out}")
        row = dict(zip(*columns))
        if not all(re.fullmatch(r"\d+\.\d", row.get(name, "")) for name in ("% read", "% int8")):
            fail(f"table: {out}")
        for when, line in zip(("before", "after"), err.splitlines()):
            if not re.fullmatch(rf"probe {when} tg2: read [\d.]+ GB/s, int8 \d+ GOPS, [\d.]+ us a launch", line):
                fail(f"--probe: {err!r}")
        if err.count("\n") != 2:
            fail(f"--probe: {err!r}")
    text = good("bench", "--help")[0]
    if "what the card gives" not in text or "do not measure the card" not in text:
        fail(f"--help: {text}")


checks.run([check_json, check_tables])
