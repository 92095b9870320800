"""mutants.py GOLDEN_FOLDER TEMPORARY_PREFIX: edits the imported IR of golden
models, one mistake at a time, and expects gemma-eval to miss the goldens."""
import re, subprocess, sys

EDITS = {
    "tiny-e": [
        (r" window 8 ", " window 9 "),
        (r" window 8 ", " window 7 "),
        (r"(rms_norm %\d+) weight @l0.q_norm", r"\1 weight @l0.k_norm"),
        (r"(over @kv)4", r"\g<1>3"),  # donor of the shared global layers: another shape
        (r"over @kv3", "over @kv2"),
        (r"by @l3.scalar", "by @l2.scalar"),
        (r"cap 30.0 ", "cap 31.0 "),
        (r"scale 8.0 ", "scale 1.0 "),  # PLE table
        (r", @l1.gate ", ", @l1.up "),
        (r"\[64, 128\]", "[128, 192]"),
        (r"(rms_norm %\d+) weight @l7.pre_ffw ", r"\1 weight @l7.post_ffw "),
        (r"theta = 1.0e\+06", "theta = 1.0e+05"),
        (r"theta = 10000.0", "theta = 1.0e+05"),
        (r"(rms_norm %\d+) weight @ple_norm ", r"\1 "),
        (r"(rms_norm %\d+) weight @norm ", r"\1 "),
    ],
    "tiny-m": [
        (r"factor 0.125 ", "factor 0.25 "),
        (r", @l1.router_scale ", ", @l0.router_scale "),
        (r"per_expert\(@l2.per_expert\)", "per_expert(@l1.per_expert)"),
        (r"(rms_norm %\d+) weight @l2.post_ffw1", r"\1 weight @l2.post_ffw2"),
        (r"(rms_norm %\d+) weight @l3.pre_ffw2", r"\1 weight @l3.pre_ffw"),
        (r"gate_up\(@l0.gate_up\)", "gate_up(@l1.gate_up)"),
    ],
    "tiny-d": [
        (r"(rms_norm %\d+) weight @l5.k_norm ", r"\1 "),
        (r", @l0.v ", ", @l0.k "),
    ],
}


def evaluate(golden, model, ir, prefix):
    with open(prefix + ".mlir", "w") as file:
        file.write(ir)
    return subprocess.run(
        ["gemma-eval", prefix + ".mlir", f"--weights={golden}/{model}", "--case=mid",
         f"--golden={golden}/{model}/golden.safetensors"], capture_output=True, text=True)


def main():
    golden, prefix = sys.argv[1:]
    seen = total = 0
    for model, edits in EDITS.items():
        ir = subprocess.run(["gemma-eval", f"--import={golden}/{model}", "--print-import"],
                            capture_output=True, text=True, check=True).stdout
        right = evaluate(golden, model, ir, prefix)
        assert right.returncode == 0, right.stdout + right.stderr
        for pattern, text in edits:
            wrong, count = re.subn(pattern, text, ir)
            assert count, f"{model}: {pattern} is not there"
            run = evaluate(golden, model, wrong, prefix)
            total += 1
            if run.returncode == 1 and ("FAILED" in run.stdout or "expects" in run.stderr):
                seen += 1
            else:
                print(f"{model}: not seen: {pattern} -> {text}\n{run.stdout}{run.stderr}")
    print(f"{seen} of {total} edits seen")


main()
