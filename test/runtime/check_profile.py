"""Runs a program (environment variable PROGRAM) with --profile and compares the
trace with the planned module, from which the program was made: check_profile.py
PLAN MEDIA, a folder of pictures and sounds."""
import json
import os
import re
import subprocess
import sys

PROGRAM = os.environ["PROGRAM"]
failures = 0


def fail(text):
    global failures
    failures += 1
    print("FAIL: " + text)


def call(args):
    done = subprocess.run([PROGRAM] + args, capture_output=True, timeout=120)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def planned(path):
    """Per segment and class: the list of phases, each a list of call names."""
    text = open(path).read()
    family = dict(re.findall(r"kernel\.def @(\S+) = (\w+) (?:few|many) ", text))
    segments = {}
    for line in text.splitlines():
        if found := re.search(r"func\.func @(\w+)_(few|many)\(", line):
            phases = segments[f"{found[1]} ({found[2]})"] = [[]]
        elif "kernel.barrier" in line:
            phases.append([])
        elif found := re.search(r"kernel\.call @(\w+)\(", line):
            weight = re.search(r"weights\((?:\[)?@([^\],)]+)", line)
            cache = re.search(r"cache\(@([^)]+)\)", line)
            on = weight or cache
            phases[-1].append(family[found[1]] + (" " + on[1].strip('"') if on else ""))
    return segments


def inside(event, outer):
    return outer["ts"] - 0.002 <= event["ts"] and \
        event["ts"] + event["dur"] <= outer["ts"] + outer["dur"] + 0.002


FEW_ROWS, PROMPT, BATCH = 8, 40, 32


def prompt_steps(found):
    """How many bodies `found` begins with that make the prompt in steps as
    runtime/app/pace.h allows; 0 if they do not."""
    rows, steps = 0, 0
    while rows < PROMPT and steps < len(found):
        name, count = found[steps]
        allowed = {8, 16, 32} if steps else {8}  # nothing is known at first
        if count not in allowed and count != PROMPT - rows or count > BATCH:
            return 0
        if name != ("body (few)" if count <= FEW_ROWS else "body (many)"):
            return 0
        rows, steps = rows + count, steps + 1
    return steps if rows == PROMPT else 0


def check_trace(segments, threads, after):
    events = json.load(open("trace.json"))["traceEvents"]
    if [e["args"]["name"] for e in events if e["ph"] == "M"] != [f"worker {w}" for w in range(threads)]:
        fail("names of threads")
    for w in range(threads):
        mine = [e for e in events if e["ph"] == "X" and e["tid"] == w]
        kinds = {k: sorted((e for e in mine if e["cat"] == k), key=lambda e: e["ts"])
                 for k in ("segment", "phase", "call", "barrier")}
        if sum(map(len, kinds.values())) != len(mine):
            fail("categories")
        found = [(s["name"], s["args"]["rows"]) for s in kinds["segment"]]
        # How many rows a step has follows from the machine's speed.
        steps = prompt_steps(found)
        if not steps or found[steps:] != after:
            fail(f"worker {w}: segments {found}")
        for s in kinds["segment"]:
            phases = [p for p in kinds["phase"] if inside(p, s)]
            names = [[c["name"] for c in kinds["call"] if inside(c, p)] for p in phases]
            if names != segments[s["name"]]:
                fail(f"worker {w}: {s['name']}: {names} instead of {segments[s['name']]}")
            barriers = [b for b in kinds["barrier"] if inside(b, s)]
            if len(barriers) != len(phases) - 1:
                fail(f"worker {w}: {len(barriers)} barriers between {len(phases)} phases")
        for c in kinds["call"]:
            if c["dur"] < 0 or c["args"]["bytes"] < 0 or c["args"]["units"] < 0:
                fail(f"call {c}")
    # Matrices are divided: the workers' shares are the whole matrix.
    info = json.loads(call(["info", "--json"])[1])
    head = [sum(e["args"]["bytes"] for e in events if e["ph"] == "X" and e["name"].startswith("logits "))]
    count = sum(e[0] == "top (few)" for e in after)
    vocab, hidden = info["model"]["vocab"], info["model"]["hidden"]
    if head[0] != count * vocab * hidden * 2:  # bf16
        fail(f"bytes of the head: {head[0]}, expected {count} x {vocab} x {hidden} x 2")


def check_media(segments, media):
    """Towers have their segments, in the order of the media, each inside an event of its medium."""
    files = [os.path.join(media, name) for name in ("img003.png", "img005.png", "aud000.wav")]
    rc, out, err = call(["run", "--image", files[0], "--image", files[1], "--audio", files[2], "--temp", "0", "-n", "1", "-t", "2",
                         "--timings", "--profile", "trace.json", "x"])
    if rc != 0:
        fail(f"media: exit {rc}: {err!r}")
        return
    events = [e for e in json.load(open("trace.json"))["traceEvents"] if e["ph"] == "X"]
    whole = [e for e in events if e["cat"] == "medium"]
    names = [name for file, kind in zip(files, ("picture", "picture", "sound")) for name in (f"{kind} '{file}'", "read")]
    if [e["name"] for e in whole] != names or any(e["tid"] for e in whole):
        fail(f"media: {[e['name'] for e in whole]} instead of {names}")
    if not all(inside(read, medium) and read["ts"] >= 0 for medium, read in zip(whole[::2], whole[1::2])):
        fail(f"media: {whole}")
    for w in range(2):
        mine = [e for e in events if e["tid"] == w]
        found = sorted((e for e in mine if e["cat"] == "segment"), key=lambda e: e["ts"])
        towers = ["patches (many)", "image (many)"] * 2 + ["audio (many)"]
        if [s["name"] for s in found[:5]] != towers or "body" not in found[5]["name"]:
            fail(f"media: segments {[s['name'] for s in found]}")
        for s, medium in zip(found, (whole[0], whole[0], whole[2], whole[2], whole[4])):
            phases = [p for p in mine if p["cat"] == "phase" and inside(p, s)]
            calls = [[c["name"] for c in mine if c["cat"] == "call" and inside(c, p)] for p in phases]
            if calls != segments[s["name"]]:
                fail(f"media: {s['name']}: {calls} instead of {segments[s['name']]}")
            if w == 0 and not inside(s, medium):
                fail(f"media: {s} is outside of {medium}")
    for line in ("linear \\(patches\\) ", "pool \\(image\\) ", "linear \\(audio\\) ", "linear \\((few|many)\\) ",
                 "media +soft +read ms +encoded ms$", r"picture '.*img003.png' +\d+ +[\d.]+ +[\d.]+$",
                 r"timings: 2 pictures read in [\d.]+ ms, encoded in [\d.]+ ms to \d+ soft tokens",
                 r"timings: 1 sound read in [\d.]+ ms, encoded in [\d.]+ ms to \d+ soft tokens"):
        if not re.search("^" + line, err, re.M):
            fail(f"media: no {line!r} in {err}")


def main():
    segments = planned(sys.argv[1])
    check_media(segments, sys.argv[2])
    expected = {f"{name} ({rows})" for name in ("body", "tail", "top", "logits") for rows in ("few", "many")}
    towers = {f"{name} (many)" for name in ("patches", "image", "audio")}
    if set(segments) != expected | towers:
        fail(f"plan {set(segments)}")
    with open("prompt", "w") as f:
        f.write(" ".join(str(i * 7919 % 2000) for i in range(PROMPT)))
    run = ["run", "--tokens", "prompt", "--temp", "0", "-n", "3", "--ignore-eos", "--print-tokens", "-b", str(BATCH)]
    plain = call(run)
    token = [("body (few)", 1), ("tail (few)", 1), ("top (few)", 1)]
    after = token[1:] + 2 * token
    for more, threads in (["-t", "1"], 1), (["-t", "3"], 3), (["-t", "2", "--test-order", "5"], 2):
        rc, out, err = call(run + more + ["--profile", "trace.json"])
        if rc != 0 or out != plain[1]:
            fail(f"{more}: exit {rc}: {out!r} {err!r}, without a profile {plain[1]!r}")
        check_trace(segments, threads, after)
        lines = err.splitlines()
        for family in "linear (few)", "linear (many)", "logits (few)", "barrier", "between steps":
            if not any(line.startswith(family + " ") for line in lines):
                fail(f"summary lacks {family}: {err}")
        shares = [float(line.split("%")[0].split()[-1]) for line in lines[1:]]
        if abs(sum(shares) - 100) > 0.1 * len(shares):
            fail(f"shares {shares}")
    # More than there is room for: the beginning, whole, and a note.
    run[run.index("3")] = "6000"
    rc, out, err = call(run + ["-t", "1", "--profile", "trace.json"])
    if rc != 0 or "the profile ends early" not in err:
        fail(f"full: exit {rc}: {err!r}")
    events = json.load(open("trace.json"))["traceEvents"]
    names = [e["name"] for e in events if e.get("cat") == "segment"]
    if len(names) < 1000 or set(names[10:]) != {"body (few)", "tail (few)", "top (few)"}:
        fail(f"full: {len(names)} segments")
    for bad in "none/trace.json", "/dev/full":
        rc, out, err = call(run[:-2] + ["-n", "1", "--profile", bad])
        if rc != 5 or bad not in err:
            fail(f"{bad}: exit {rc}: {err!r}")
    if any(name.startswith("trace.json.tmp") for name in os.listdir(".")):
        fail("temporary file left")
    print("FAIL" if failures else "PASS")
    sys.exit(1 if failures else 0)


main()
