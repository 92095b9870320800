"""Statistics of interleaved runs: which count, how they pair, what their ratio is.
Knows numbers, must not know programs.

A run is a dict: who, round, speed (tokens per second), probes (a list of dicts with
read_one, read_all in bytes/s, int8_one, int8_all in operations/s, core_to_core in
ns from one core to the other; the one before the run and the one after it)."""
import numpy as np

ONE_DIE = 100.0 # ns: below, two cores share a die (27 to 45 seen); above, they do not (150 to 180)
HALVED = 0.7 # of what N threads should multiply; two threads of one core reach half
DRAWS = 10_000


def placement(run, threads):
    """'one die', 'two dies', 'moved' (changed during the run), 'shared' (cores were shared with
    someone: the run does not count), or 'one thread'."""
    full = max(p["int8_one"] for p in run["probes"])
    best = run.get("int8_one_best") or full
    if any(p["int8_one"] < HALVED * best for p in run["probes"]):
        return "shared"
    if threads == 1:
        return "one thread"
    if any(p["int8_all"] < HALVED * best * threads for p in run["probes"]):
        return "shared"
    near = {p["core_to_core"] < ONE_DIE for p in run["probes"]}
    return "moved" if len(near) > 1 else "one die" if near.pop() else "two dies"


def classify(runs, threads):
    """Sets run["placement"]; a single thread's rate is judged by the best seen."""
    best = max((p["int8_one"] for run in runs for p in run["probes"]), default=0)
    for run in runs:
        run["int8_one_best"] = best
        run["placement"] = placement(run, threads)


def pairs(runs, first, second, where=None):
    """Ratios first/second of each round in which both runs count and have the same placement."""
    found = []
    for r in sorted({run["round"] for run in runs}):
        a, b = (next((run for run in runs if run["round"] == r and run["who"] == who), None)
                for who in (first, second))
        if not a or not b or a["placement"] != b["placement"] or a["placement"] in ("shared", "moved"):
            continue
        if where in (None, a["placement"]):
            found.append(a["speed"] / b["speed"])
    return found


def interval(ratios, seed=1, level=0.95):
    """Median and its percentile bootstrap interval."""
    x = np.asarray(ratios, np.float64)
    draws = np.random.default_rng(seed).integers(0, len(x), (DRAWS, len(x)))
    medians = np.median(x[draws], axis=1)
    low, high = np.quantile(medians, [(1 - level) / 2, (1 + level) / 2])
    return float(np.median(x)), float(low), float(high)


def speeds(runs, who, where):
    return [r["speed"] for r in runs if r["who"] == who and r["placement"] == where]


def bandwidth_share(run, threads):
    """Weights read per second over the lower of the two read probes."""
    key = "read_one" if threads == 1 else "read_all"
    reads = [p[key] for p in run["probes"] if p[key] > 0]
    return run["bytes"] * run["speed"] / min(reads) if run.get("bytes") and reads else None


def summary(runs, program, peers, threads):
    """One row for each placement that occurred: pairs, median speeds, ratio to every peer, which
    peer is the better one, share of the read probe."""
    classify(runs, threads)
    rows = []
    for where in ("one die", "two dies", "one thread"):
        row = {"placement": where, "speeds": {}, "ratios": {}, "pairs": 0}
        for peer in peers:
            found = pairs(runs, program, peer, where)
            if found:
                row["ratios"][peer] = interval(found)
                row["pairs"] = max(row["pairs"], len(found))
        if not row["ratios"]:
            continue
        for who in [program] + peers:
            if speeds(runs, who, where):
                row["speeds"][who] = float(np.median(speeds(runs, who, where)))
        row["better"] = max(row["ratios"], key=lambda peer: row["speeds"][peer])
        shares = [bandwidth_share(r, threads) for r in runs if r["who"] == program and r["placement"] == where]
        shares = [s for s in shares if s is not None]
        row["share"] = float(np.median(shares)) if shares else None
        rows.append(row)
    return rows
