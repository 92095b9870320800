"""Runs `bench` of a program (environment variable PROGRAM, compiled from
examples/nano-e) and checks what it prints and refuses: check_bench.py [NAME...]
runs the checks check_NAME."""
import json
import os
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools"))
import checks
from checks import fail

PROGRAM = os.environ["PROGRAM"]
SHORT = ["-p", "32", "-n", "4", "-r", "3", "-t", "1"]


def call(args, program=PROGRAM):
    done = subprocess.run([program] + args, capture_output=True, timeout=120)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def good(args, program=PROGRAM):
    rc, out, err = call(args, program)
    if rc != 0:
        fail(f"{args}: exit {rc}: {err}")
    return out, err


def refused(parts, args, code=2):
    rc, out, err = call(["bench"] + args)
    missing = [p for p in parts if p not in err]
    if rc != code or missing or out or not err.startswith("error: ") or err.count("\n") != 1:
        fail(f"bench {args}: exit {rc}, expected {code}; {out!r} {err!r} lacks {missing}")


def bench_json(args):
    out, err = good(["bench", "--json"] + args)
    if err:
        fail(f"{args} printed {err!r}")
    return json.loads(out)


def check_refusals():
    for flag in "-p", "-n", "-d":
        for bad in "x", "1,", ",1", "1,,2", "-1", "1.5", "", "99999999", "1 ":
            refused([flag, f"'{bad}'"], [flag, bad])
    refused(["-t", "from 1 to 256", "'0'"], ["-t", "0"])
    refused(["-t", "'1,257'"], ["-t", "1,257"])
    refused(["-r", "'0'"], ["-r", "0"])
    refused(["-p 0 and -n 0"], ["-p", "0", "-n", "0,0"])
    refused(["--md excludes --json"], ["--md", "--json"])
    refused(["--probe excludes --no-probe"], ["--probe", "--no-probe"])
    refused(["-d", "9000", "8192"], ["-d", "0,8900", "-p", "100", "-n", "5"])
    refused(["-c 100", "612"], ["-c", "100", "-d", "0,100"])
    refused(["'more'"], ["more"])
    refused(["--batch-size", "'0'"], ["--batch-size", "0"])


def check_json():
    tests = bench_json(SHORT + ["-d", "0,70", "-t", "1,2", "--probe"])
    found = [(t["test"], t["depth"], t["threads"]) for t in tests]
    expected = [(test, d, t) for t in (1, 2) for d in (0, 70) for test in ("pp32", "tg4")]
    if found != expected:
        fail(f"tests {found}")
    for t in tests:
        speeds = t["tok_s"]
        if len(speeds) != 3 or not all(s > 0 for s in speeds):
            fail(f"tok_s {speeds}")
        mean = sum(speeds) / 3
        close = lambda a, b: abs(a - b) <= 1e-9 * abs(b) + 1e-9
        if not close(t["mean"], mean) or t["median"] != sorted(speeds)[1]:
            fail(f"statistics {t}")
        if not close(t["stddev"], (sum((s - mean) ** 2 for s in speeds) / 2) ** 0.5):
            fail(f"stddev {t}")
        if (t["min"], t["max"]) != (min(speeds), max(speeds)):
            fail(f"extremes {t}")
        probes = t["probe"]
        for probe in probes["before"], probes["after"]:
            if set(probe) != {"read_1_gb_s", "read_gb_s", "int8_1_gops", "int8_gops", "core_to_core_ns"}:
                fail(f"probe {probe}")
            if (probe["core_to_core_ns"] > 0 and t["threads"] == 1) or probe["int8_gops"] <= 0:
                fail(f"probe {probe} with {t['threads']} threads")
        for share, unit, rate, scale in (("percent_read", "bytes_per_token", "read_gb_s", 1e9),
                                         ("percent_int8", "ops_per_token", "int8_gops", 1e9)):
            low = min(probes["before"][rate], probes["after"][rate]) * scale
            if low == 0:
                continue  # too little memory for the probe
            if abs(t[share] - 100 * mean * t[unit] / low) > 0.01 * t[share]:
                fail(f"{share} {t}")
    # Generation reads more keys at a depth, and every weight for one token;
    # a prompt reads them once.
    by_name = {(t["test"], t["depth"]): t for t in tests if t["threads"] == 1}
    if not by_name["tg4", 70]["bytes_per_token"] > by_name["tg4", 0]["bytes_per_token"]:
        fail("keys are not counted")
    if not 16 < by_name["tg4", 0]["bytes_per_token"] / by_name["pp32", 0]["bytes_per_token"] < 64:
        fail("bytes per token of a prompt")


def check_work():
    """Operations per token, computed from the shapes of the checkpoint; nano-m
    chooses 4 of 16 experts."""
    for program, chosen in (PROGRAM, 0), (os.environ["EXPERTS"], 4):
        info = json.loads(good(["info", "--json"], program)[0])
        products = 0
        for source in info["sources"]:
            name, shape = source["tensor"], source["shape"]
            if "vision" in name or "audio" in name:
                continue  # of towers, which no token goes through
            if "hash" in source and len(shape) == 2 and "embed_tokens_per_layer" not in name:
                products += 2 * shape[0] * shape[1]
            if "hash" in source and len(shape) == 3:
                products += 2 * chosen * shape[1] * shape[2]
        tg = json.loads(good(["bench", "--json", "-p", "0", "-n", "1", "-r", "1", "--no-probe"], program)[0])[0]
        if tg["ops_per_token"] != products:
            fail(f"{program}: {tg['ops_per_token']} operations per token, {products} by the shapes")
        if tg["percent_read"] is not None or "probe" in tg:
            fail("--no-probe")


def check_left_out():
    for args, names in (["-p", "0", "-n", "3"], ["tg3"]), (["-p", "3,5", "-n", "0"], ["pp3", "pp5"]), \
            (["-p", "0,7", "-n", "2,0"], ["pp7", "tg2"]):
        tests = bench_json(args + ["-r", "1", "--no-probe"])
        if [t["test"] for t in tests] != names:
            fail(f"{args}: {[t['test'] for t in tests]}")


def check_tables():
    for style in [], ["--md"]:
        out, err = good(["bench"] + SHORT + ["-d", "0,600", "--no-probe"] + style)
        lines = out.splitlines()
        if style and (not all(line.startswith("| ") and line.endswith("|") for line in lines)
                      or len({line.count("|") for line in lines}) != 1 or not re.fullmatch(r"[-|: ]+", lines[1])):
            fail(f"markdown: {out}")
        if style:
            del lines[1]
        if err or len(lines) != 5:
            fail(f"table: {out} {err}")
        for name in "model", "size", "params", "format", "threads", "test", "t/s", "GB/token", "% read", "% int8":
            if name not in lines[0]:
                fail(f"no column {name}")
        if len({len(line) for line in lines}) != 1:
            fail(f"columns: {out}")
        for line, test in zip(lines[1:], ("pp32 ", "tg4 ", "pp32 @ d600 ", "tg4 @ d600 ")):
            if test not in line or not re.search(r"\d+\.\d\d ± \d+\.\d\d", line) or "nano-e" not in line:
                fail(f"row {line!r}")
    _, err = good(["bench"] + SHORT + ["-p", "0", "-r", "1", "--probe"])
    if not re.fullmatch(r"probe before tg4: .*GOPS.*\nprobe after tg4: .*\n", err):
        fail(f"--probe: {err!r}")


def check_no_kv_skip():
    less, more = (bench_json(["-p", "64", "-n", "0", "-r", "1", "--no-probe"] + args)[0]
                  for args in ([], ["--no-kv-skip"]))
    if not less["kv_skip"] or more["kv_skip"] or more["ops_per_token"] < 1.05 * less["ops_per_token"]:
        fail(f"--no-kv-skip: {less['ops_per_token']} {more['ops_per_token']}")
    # The same layers, computed for more rows: the same results.
    with open("prompt", "w") as f:
        f.write(" ".join(str(i * 7919 % 2000) for i in range(200)))
    run = ["run", "--tokens", "prompt", "--temp", "0", "-n", "24", "--ignore-eos", "--print-tokens"]
    for more in [], ["-b", "64", "-t", "2"], ["-b", "7"]:
        if good(run + more) != good(run + more + ["--no-kv-skip"]):
            fail(f"--no-kv-skip {more} changes the continuation")


def check_media():
    """Pictures and sounds: soft tokens of the sizes that the model makes of them."""
    tests = bench_json(["--image", "768x768,100x300", "--audio", "1,30", "-r", "3", "-t", "1,2", "--no-probe"])
    # 70 tokens are 48 pixels square each: 8 x 8, 4 x 14 of them.
    expected = [(name, n, t) for t in (1, 2) for name, n in (("image 768x768", 64), ("image 100x300", 56), ("audio 1s", 25),
                                                             ("audio 30s", 750))]
    found = [(t["test"], t["media_tokens"], t["threads"]) for t in tests]
    if found != expected:
        fail(f"tests {found}")
    for t in tests:
        ms = sorted(1000 * t["media_tokens"] / x for x in t["tok_s"])
        if len(ms) != 3 or abs(t["ms_median"] - ms[1]) > 1e-6 * ms[1] or abs(t["ms_mean"] - sum(ms) / 3) > 1e-6 * ms[1]:
            fail(f"{t['test']}: {ms} {t}")
        if t["ops_per_token"] <= 0 or t["bytes_per_token"] <= 0:
            fail(f"{t['test']} does nothing: {t}")
    # Operations per soft token, computed from the shapes of the checkpoint: a patch in front of nine.
    products = {"vision_tower": 0, "embed_vision": 0}
    for source in json.loads(good(["info", "--json"])[0])["sources"]:
        for part in products:
            if part in source["tensor"] and "hash" in source and len(source["shape"]) == 2:
                products[part] += 2 * source["shape"][0] * source["shape"][1]
    if tests[0]["ops_per_token"] != 9 * products["vision_tower"] + products["embed_vision"]:
        fail(f"{tests[0]['ops_per_token']} operations per soft token, by the shapes {products}")
    more = bench_json(["--image", "768x768", "--image-tokens", "280", "-n", "2", "-r", "1", "--no-probe"])
    if [(t["test"], t.get("media_tokens")) for t in more] != [("image 768x768", 256), ("tg2", None)]:
        fail(f"{more}")
    for style in [], ["--md"]:
        lines = good(["bench", "--image", "96x96", "-p", "8", "-r", "2", "--no-probe"] + style)[0].splitlines()
        if len({len(line) for line in lines[::len(lines) - 1]}) != 1 or " ms" not in lines[0] or "image 96x96" not in lines[-2]:
            fail(f"table: {lines}")
    good(["bench", "--audio", "1", "-r", "1", "--no-probe", "--profile", "trace.json"])
    if '"audio (many)"' not in open("trace.json").read():
        fail("--profile of --audio")
    for bad in "768", "768x", "x768", "0x5", "5x0", "-1x5", "1x2x3", "70000x5", "9000x9000", "1x2,", " 1x2", "1x 2":
        refused(["--image expects WIDTHxHEIGHT", f"'{bad}'"], ["--image", bad])
    for bad in "0", "31", "-1", "1.5", "1,", "x", " 1":
        refused(["--audio expects whole seconds", f"'{bad}'"], ["--audio", bad])
    refused(["--image-tokens must be"], ["--image", "8x8", "--image-tokens", "100"])
    # nano-m hears nothing.
    rc, out, err = call(["bench", "--audio", "1"], os.environ["EXPERTS"])
    if rc != 4 or out or "cannot hear" not in err:
        fail(f"--audio without a tower: exit {rc}: {out!r} {err!r}")


def check_interrupt():
    process = subprocess.Popen([PROGRAM, "bench", "--json", "--image", "768x768", "-r", "10000", "--no-probe"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    if process.returncode != -signal.SIGINT or b"interrupted after 0 of 1" not in err:
        fail(f"interrupt of media: exit {process.returncode}, {err!r}")
    process = subprocess.Popen([PROGRAM, "bench", "--json", "-p", "8", "-n", "100", "-r", "10000", "--no-probe"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    if process.returncode != -signal.SIGINT or b"interrupted after" not in err:
        fail(f"interrupt: exit {process.returncode}, {err!r}")
    json.loads(out)


checks.run([check_refusals, check_json, check_work, check_left_out, check_tables, check_no_kv_skip, check_media,
            check_interrupt], sys.argv[1:])
