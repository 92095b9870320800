"""Checks ratios.py: what counts, how runs pair, and that intervals hold the truth."""
import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import page
import ratios


def probe(int8_all=900.0, core_to_core=80.0, int8_one=450.0, read_all=60.0):
    return {"read_one": 31.0, "read_all": read_all, "int8_one": int8_one, "int8_all": int8_all,
            "core_to_core": core_to_core}


def run(who, r, speed, before=None, after=None, moved=None):
    return {"who": who, "round": r, "speed": speed, "bytes": moved, "probes": [before or probe(), after or probe()]}


def placements(threads, *runs):
    ratios.classify(list(runs), threads)
    return [r["placement"] for r in runs]


far, shared = probe(core_to_core=350.0), probe(int8_all=455.0)
assert placements(2, run("a", 0, 1), run("a", 0, 1, far, far), run("a", 0, 1, probe(), far),
                  run("a", 0, 1, shared), run("a", 0, 1, None, shared)) == [
                      "one die", "two dies", "moved", "shared", "shared"]
# One thread: cores may be anywhere, but a halved rate of its own does not count.
slow = probe(int8_one=230.0)
assert placements(1, run("a", 0, 1, far, probe()), run("a", 0, 1, slow, slow), run("a", 0, 1)) == [
    "one thread", "shared", "one thread"]
# Halved for both probes of a run of two threads: judged by the other runs.
assert placements(2, run("a", 0, 1, probe(450, int8_one=225), probe(450, int8_one=225)), run("a", 0, 1)) == [
    "shared", "one die"]

runs = [run("p", 0, 3), run("q", 0, 2), # 1.5
        run("q", 1, 1), run("p", 1, 2, None, shared), # not counted
        run("p", 2, 8, far, far), run("q", 2, 4, far, far), # 2
        run("p", 3, 9), run("q", 3, 1, far, far), # different placements
        run("p", 4, 9)] # no partner
ratios.classify(runs, 2)
assert ratios.pairs(runs, "p", "q") == [1.5, 2.0]
assert ratios.pairs(runs, "p", "q", "one die") == [1.5]
assert ratios.pairs(runs, "p", "q", "two dies") == [2.0]
assert ratios.summary(runs, "p", ["q"], 2)[1]["ratios"]["q"] == (2.0, 2.0, 2.0)

# The better peer is the faster one; the share is of the lower probe.
runs = [run(who, r, speed, probe(read_all=50.0), probe(read_all=80.0), 1.0 if who == "p" else None)
        for r in range(3) for who, speed in (("p", 30), ("q", 20), ("s", 25))]
(row,) = ratios.summary(runs, "p", ["q", "s"], 2)
assert row["better"] == "s" and row["pairs"] == 3 and row["share"] == 30 / 50 and row["ratios"]["q"][0] == 1.5

assert ratios.interval([1.3] * 10) == (1.3, 1.3, 1.3)
assert ratios.interval([1.0, 2.0, 4.0])[0] == 2.0
# Of 200 samples of known median, about 95 % of the intervals hold it.
rng = np.random.default_rng(5)
held = 0
for i in range(200):
    median, low, high = ratios.interval(np.exp(rng.normal(0.3, 0.1, 15)), seed=i)
    assert low <= median <= high
    held += low <= np.exp(0.3) <= high
assert 180 <= held <= 199, held

# A page without the marks, or with one twice, is refused.
for text in ("", page.BEGIN, page.END + page.BEGIN, page.BEGIN + page.END + page.END):
    try:
        page.render(text, [])
    except ValueError:
        continue
    raise AssertionError(text)
print("PASS")
