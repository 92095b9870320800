"""Plays a program of gemmac (`bench`) or a llama-bench on a machine whose story is
known: argv is ROLE STATE_FILE, then the program's own arguments.

The state counts runs; two contestants make two of them a round. Rounds 0 to 3: one
die; the probe after the second run of round 1 sees shared cores; during the first run
of round 4 the threads move to two dies. The machine gets slower from round to round;
the program makes 30 tok/s (40 on two dies), the peer 20; pp512 ten times as many."""
import json
import sys

role, state, *arguments = sys.argv[1:]
probe = lambda runs: {"read_1_gb_s": 31, "read_gb_s": 40, "int8_1_gops": 450, "int8_gops": 460 if runs == 4 else 900,
                      "core_to_core_ns": 40 if runs < 9 else 160}
value = lambda flag: arguments[arguments.index(flag) + 1]
try:
    runs = int(open(state).read())
except FileNotFoundError:
    runs = 0
if "--help" in arguments:
    print("usage: llama-bench\n  -p, --n-prompt <n>\n" + ("" if role == "fork" else "  -d, --n-depth <n>\n"))
else:
    # Refuses what the true program does not know.
    depth = int(value("-d")) if "-d" in arguments else 0
    prompt, tokens = int(value("-p")), int(value("-n"))
    if "-gp" in arguments:
        assert role == "fork" and prompt == tokens == 0
        depth, tokens = map(int, value("-gp").split(","))
    slower = 1 / (1 + runs // 2 % 8 / 10)
    speed = (20 if role != "gemmac" else 40 if runs >= 8 else 30) * slower * (10 if prompt else 1)
    name = f"pp{prompt}" if prompt else f"tg{tokens}"
    count = int(value("-r"))
    if role == "gemmac":
        assert arguments[0] == "bench" and "--json" in arguments
        print("loading")
        assert "--probe" in arguments
        after = runs + (tokens != 1) # compare probes with a test of one token, which is no run
        print(json.dumps([{"test": name, "depth": depth, "threads": int(value("-t")), "tok_s": [speed] * count,
                           "bytes_per_token": 1e9, "probe": {"before": probe(runs), "after": probe(after)}}]))
    else:
        assert value("-o") == "json" and "-m" in arguments
        assert not depth or "-gp" in arguments or role == "llama"
        print(json.dumps([{"build_commit": "abc", "build_number": 7, "n_prompt": prompt, "n_gen": tokens,
                           "samples_ts": [speed] * count}], indent=2))
    with open(state, "w") as f:
        f.write(str(runs + (tokens != 1)))
