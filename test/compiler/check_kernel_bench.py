"""Runs `gemma-kernels bench` and checks its lines against the shapes of the
kernels."""
import re
import subprocess
import sys

failures = 0
BYTES = {"f32": 4, "q8_0": 34 / 32, "q4_0": 18 / 32}


def fail(text):
    global failures
    failures += 1
    print("FAIL: " + text)


def bench(family, constants, rows, more=()):
    """The lines of the table as lists of numbers, None for '-'."""
    words = ",".join(f"{name}={value}" for name, value in constants.items())
    out = subprocess.run(["gemma-kernels", "bench", "--target", "x86-avx2", "--family", family,
                          "--constants", words, "-n", rows, *more],
                         check=True, capture_output=True, text=True, timeout=120).stdout
    title, head, *lines = out.splitlines()
    if not re.fullmatch(rf"{family}_\w+ for x86-avx2, 1 thread, weights from memory", title):
        fail(f"title {title!r}")
    if head.split() != "rows ms GB/s probe % read GOPS probe % int8".split():
        fail(f"heading {head!r}")
    if len({len(line) for line in [head] + lines}) != 1:
        fail(f"columns: {out}")
    table = [[None if word == "-" else float(word) for word in line.split()] for line in lines]
    if ",".join(str(int(line[0])) for line in table) != rows:
        fail(f"{family}: rows of {out}")
    return table


def near(x, y, steps):
    """Whether x is y, given the relative rounding of the numbers printed."""
    return abs(x - y) <= y * (steps + 1e-6)


def check(family, constants, weights, rows, columns, more=()):
    """weights(r): those that a call of r rows reads, or None; columns: rows of
    all matrices that a row is multiplied by."""
    k, act = constants["k"], constants["act"]
    for line in bench(family, constants, rows, more):
        r, ms, gb, read, read_share, gops, int8, int8_share = line
        step = 0.0005 / ms
        if weights(r) and not near(gb * ms, weights(r) * k * BYTES[constants["format"]] * 1e-6, step + 0.05 / gb):
            fail(f"{family} reads {gb * ms} MB: {line}")
        if not near(gops * ms, 2 * r * columns * k * 1e-6, step + 0.05 / gops):
            fail(f"{family} computes {gops * ms} M: {line}")
        if read and not near(read_share, 100 * gb / read, 0.05 / gb + 0.05 / read + 0.05 / read_share):
            fail(f"{family}: share of reads {line}")
        if (int8 is None or int8_share is None) != (act != "q8"):
            fail(f"{family}: an int8 share is for int8 activations: {line}")
        if int8 and not near(int8_share, 100 * gops / int8, 0.05 / gops + 0.05 / int8 + 0.05 / int8_share):
            fail(f"{family}: int8 share {line}")


quantised = {"format": "q4_0", "act": "q8"}
plain = {"format": "f32", "act": "f32"}
check("linear", {"k": 1024, **quantised}, lambda r: 16384, "1,8", 16384)
check("linear", {"k": 512, **plain}, lambda r: 8192, "32", 8192, ["--rows", "many", "--blocks", "512"])
check("logits", {"k": 512, "cap": 30.0, **plain}, lambda r: 16384, "1", 16384)
check("linear_geglu", {"k": 512, "format": "q8_0", "act": "q8"}, lambda r: 16384, "2", 16384, ["--blocks", "256"])
check("linear_ple", {"k": 1024, **quantised}, lambda r: 16384, "1", 16384, ["--blocks", "512"])
# Experts: those of one row, and where all are chosen all of them.
experts = {"experts": 16, "top": 3, **quantised}
check("experts_up", {"k": 512, "f": 512, **experts}, lambda r: 3 * 1024 if r == 1 else None, "1,5", 3 * 1024)
check("experts_down", {"k": 512, "n": 1024, **experts}, lambda r: 3 * 1024 if r == 1 else None, "1", 3 * 1024)
check("experts_down", {"k": 512, "n": 1024, **experts, "top": 16}, lambda r: 16 * 1024, "64", 16 * 1024,
      ["--rows", "many"])
sys.exit(1 if failures else 0)
