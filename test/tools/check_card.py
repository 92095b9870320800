#!/usr/bin/python3
"""The fidelity card of programs: errors in the manifest, info --card, info
--verify on damaged files, eval --kl and --window against NumPy, gemmac --verify
with its refusals. Works in the current folder, which it leaves as it was.

  check_card.py GEMMAC SOURCE_FOLDER TARGET [errors|hashes|kl|verify ...]

runs these checks, each in an emptied folder."""
import glob
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import checks
import safetensors
from checks import expect, fail

GEMMAC, SRC, TARGET = sys.argv[1:4]
NANO = os.path.join(SRC, "examples/nano-e")


def call(command, stdin=b"", pipe=None):
    done = subprocess.run(command, input=None if pipe else stdin, stdin=pipe, capture_output=True, timeout=300)
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def good(command, **more):
    rc, out, err = call(command, **more)
    if rc:
        fail(f"{command}: exit {rc}: {err}")
    return out


def refused(code, parts, command, **more):
    rc, out, err = call(command, **more)
    missing = [p for p in parts if p not in err]
    expect(rc == code and not missing, f"{command}: exit {rc}, expected {code}; message {err!r} lacks {missing}")


def compile_nano(out, *flags, model=NANO):
    command = [GEMMAC, "-q"]
    if model == NANO and "--weights=external" not in flags: # as other tests compile it
        build = os.path.dirname(os.path.dirname(shutil.which(GEMMAC)))
        command = [sys.executable, os.path.join(SRC, "test/tools/program.py"), build]
    good([*command, model, f"--target={TARGET}", "-o", out, *flags])


def number(out, name):
    return float(re.search(rf"^{name} (\S+)$", out, re.M).group(1))


def heldout(name, chats):
    text = open(os.path.join(SRC, "examples/eval/heldout.txt"), encoding="utf-8").read()
    with open(name, "w", encoding="utf-8", newline="") as f:
        f.write("".join(text.split("\n\u241e\n")[:chats]))


# -- errors in the manifest -------------------------------------------------

def to_bf16(x):
    bits = x.astype(np.float32).view(np.uint32).astype(np.uint64)
    return (((bits + 0x7fff + ((bits >> 16) & 1)) >> 16 << 16).astype(np.uint32)).view(np.float32)


def round_blocks(x, levels, exact_top):
    """Blocks of 32 with scale = largest magnitude / levels (f16), the simple way."""
    blocks = x.reshape(-1, 32)
    peak = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1)[:, None], 1)
    scale = (peak / exact_top).astype(np.float16).astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        codes = np.where(scale != 0, np.round(blocks / scale), 0)
    return (np.clip(codes, -levels - (levels < 100), levels) * scale).reshape(x.shape)


def sources_of(program):
    return {s["tensor"]: s for s in json.loads(good([f"./{program}", "info", "--json"]))["sources"]}


def check_card(program):
    """What every card must add up to."""
    whole = json.loads(good([f"./{program}", "info", "--card", "--json"]))
    card = whole["card"]
    info = json.loads(good([f"./{program}", "info", "--json"]))
    expect(sum(g["bytes"] for g in card["groups"]) == card["bytes"], f"{program}: bytes of the groups")
    expect(sum(card["formats"].values()) == card["bytes"], f"{program}: bytes of the formats")
    expect(card["bytes"] <= info["weights_bytes"], f"{program}: bytes of all weights")
    expect(sum(g["values"] for g in card["groups"]) == info["model"]["parameters"], f"{program}: values")
    # A head in two parts is one tensor.
    expect([g["count"] for g in card["groups"] if g["tensor"] == "embed_tokens.weight"] == [1], f"{program}: head")
    used = [s for s in info["sources"] if "hash" in s]
    expect(max(s["max_error"] for s in used) == card["max_error"], f"{program}: largest error")
    expect(whole["fidelity"] == info["fidelity"], f"{program}: fidelity")
    text = good([f"./{program}", "info", "--card"])
    for g in card["groups"]:
        line = [l.split() for l in text.splitlines() if l.split()[:3] == [g["tensor"], g["from"], g["stored"]]]
        expect(len(line) == 1 and line[0][3:5] == [str(g["count"]), str(g["bytes"])], f"{program}: line of {g}")
    return card


def check_errors():
    model = safetensors.File(os.path.join(NANO, "model.safetensors"))
    compile_nano("f32", "--quant=f32")
    compile_nano("none")
    for program in "f32", "none":  # a bf16 checkpoint is kept
        expect(all(s.get("max_error", 0) == 0 for s in sources_of(program).values()), f"{program} has errors")
        expect(check_card(program)["max_error"] == 0, f"{program}: card")
    expect("exact" in good(["./none", "info", "--card"]) and
           "gemmac --verify" in good(["./none", "info", "--card"]), "text of the card")
    for quant, format, levels, top in ("q8", "q8_0", 127, 127), ("q4", None, 7, -8):
        compile_nano(quant, f"--quant={quant}")
        card = check_card(quant)
        seen = 0
        for name, s in sources_of(quant).items():
            if "hash" not in s or s["max_error"] == 0:
                continue
            seen += 1
            x = model[name].astype(np.float32)
            simple = round_blocks(x, levels, top)
            d = (simple - x).astype(np.float64)
            rms, peak = np.sqrt((d * d).mean()), np.abs(x).max()
            # At least as good as the simple way; eight bits where it is the default.
            expect(0 < s["rms_error"] <= 1.02 * rms, f"{quant} {name}: rms {s['rms_error']}, simple rounding {rms}")
            expect(s["rms_error"] >= (0.01 if quant == "q4" else 0.5) * rms, f"{quant} {name}: rms {s['rms_error']}")
            expect(s["max_error"] <= peak * 1.1 / levels, f"{quant} {name}: largest {s['max_error']}")
            expect(s["max_error"] >= s["rms_error"], f"{quant} {name}: largest below rms")
            relative = s["rms_error"] / np.sqrt((x.astype(np.float64) ** 2).mean())
            expect(abs(s["relative_error"] / relative - 1) < 1e-5, f"{quant} {name}: relative {s['relative_error']}")
        expect(seen > 20, f"{quant}: only {seen} tensors have errors")
        names = {re.sub(r"\.\d+\.", ".*.", n) for n in model.names()}
        expect(all(any(n.endswith(g["tensor"]) for n in names) for g in card["groups"]), f"{quant}: names of groups")
    # f32 tensors rounded to bf16: the same numbers.
    tiny, rng = os.path.join(SRC, "test/golden/tiny-d"), np.random.default_rng(1)
    tensors = safetensors.File(os.path.join(tiny, "model.safetensors"))
    tensors = {n: tensors[n] * (1 + 0.1 * rng.random(tensors[n].shape, np.float32)) for n in tensors.names()}
    os.mkdir("tiny")
    shutil.copy(os.path.join(tiny, "config.json"), "tiny")
    put("tiny/model.safetensors", [(n, "F32", x) for n, x in tensors.items()])
    compile_nano("bf16", "--quant=bf16", model="tiny")
    rounded = 0
    for name, s in sources_of("bf16").items():
        if s["dtype"] != "F32" or s.get("max_error", 0) == 0:
            continue
        rounded += 1
        x = tensors[name]
        d = (to_bf16(x) - x).astype(np.float64)
        expect(s["max_error"] == np.abs(d).max(), f"bf16 {name}: largest {s['max_error']}")
        expect(abs(s["rms_error"] / np.sqrt((d * d).mean()) - 1) < 1e-5, f"bf16 {name}: rms {s['rms_error']}")
    expect(rounded > 5, f"bf16: only {rounded} tensors were rounded")
    check_card("bf16")
    # A weight file that is reused brings its numbers along.
    compile_nano("apart", "--quant=q4", "--weights=external")
    first = sources_of("apart")
    os.unlink("apart")
    rc, _, err = call([GEMMAC, NANO, f"--target={TARGET}", "-o", "apart", "--quant=q4", "--weights=external"])
    expect(rc == 0 and "reused" in err, f"weights are not reused: {err}")
    for name, s in sources_of("apart").items():
        for key in ("max_error", "rms_error", "relative_error"):
            a, b = s.get(key, 0), first[name].get(key, 0)
            expect(a == b or abs(a / b - 1) < 1e-9, f"reused {name}: {key} {a}, was {b}")


# -- info --verify ----------------------------------------------------------

def damaged(path, offset):
    """Turns one bit of a file, or turns it back."""
    os.chmod(path, os.stat(path).st_mode | 0o200)
    with open(path, "r+b") as f:
        f.seek(offset)
        byte = f.read(1)[0]
        f.seek(offset)
        f.write(bytes([byte ^ 4]))


def sections(path):
    data = open(path, "rb").read()
    fields = struct.unpack("<6Q", data[-104:-56])
    return dict(zip(("weights", "weights_bytes", "tokenizer", "tokenizer_bytes", "manifest", "manifest_bytes"), fields))


def named(err, offset):
    """Whether the message's range holds the offset."""
    m = re.search(r"(\d+) bytes at offset (\d+)", err)
    return m and int(m.group(2)) <= offset < int(m.group(2)) + int(m.group(1))


def check_hashes():
    compile_nano("whole", "--quant=q8")
    out = good(["./whole", "info", "--verify"])
    expect("all hashes match" in out, f"whole: {out!r}")
    result = json.loads(good(["./whole", "info", "--verify", "--json", "-t", "3"]))
    where = sections("whole")
    expect(result["verified"] and result["weights"] > 20 and result["sections"] == 2, f"whole: {result}")
    least = 0.95 * where["weights_bytes"] + where["tokenizer_bytes"]
    expect(least < result["bytes"] < os.path.getsize("whole"), f"bytes: {result}")
    elf = open("whole", "rb").read(where["weights"])
    rng = np.random.default_rng(1)
    begin, size = where["weights"], where["weights_bytes"]
    places = [("weight", int(begin + x * (size - 1))) for x in [0, 1] + list(rng.random(12))]
    places += [("section 'tokenizer'", int(where["tokenizer"] + x * (where["tokenizer_bytes"] - 1)))
               for x in [0, 1] + list(rng.random(6))]
    places.append(("section 'code'", len(elf.rstrip(b"\0")) - 1))
    gaps = 0
    for part, offset in places:
        damaged("whole", offset)
        rc, out, err = call(["./whole", "info", "--verify"])
        if part == "weight" and rc == 0:
            gaps += 1  # padding between weights belongs to none
        else:
            expect(rc == 3 and part in err and named(err, offset) and out == "" and "gemmac" in err,
                   f"{part} at {offset}: exit {rc}: {err!r}")
        damaged("whole", offset)
    expect(gaps <= 2, f"{gaps} places are in no weight")
    for offset in (int(begin + 0.3 * size), int(begin + 0.9 * size)):
        damaged("whole", offset)
    refused(3, ["and so is 1 more"], ["./whole", "info", "--verify"])
    for offset in (int(begin + 0.3 * size), int(begin + 0.9 * size)):
        damaged("whole", offset)
    good(["./whole", "info", "--verify"])
    refused(2, ["exclude"], ["./whole", "info", "--verify", "--card"])
    compile_nano("apart", "--quant=q8", "--weights=external")
    good(["./apart", "info", "--verify"])
    damaged("apart.weights", 123456)
    rc, _, err = call(["./apart", "info", "--verify"])
    expect(rc == 3 and "weight '" in err and "of its weight file" in err and named(err, 123456), f"apart: {rc}, {err}")
    help_text = good(["./whole", "info", "--help"])
    expect("--card" in help_text and "--verify" in help_text, "info --help")


# -- eval --kl --------------------------------------------------------------

def log_softmax(x):
    x = x.astype(np.float64)
    x = x - x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


def numpy_divergence(reference, own, ids, starts):
    a, b = log_softmax(reference), log_softmax(own)
    kl = (np.exp(a) * (a - b)).sum(axis=1)
    rows = np.array([i for i in range(len(ids) - 1) if i + 1 not in starts])
    nll_a, nll_b = -a[rows, ids[rows + 1]], -b[rows, ids[rows + 1]]
    return {"kl_mean": kl.mean(), "kl_median": np.median(kl), "kl_p99": np.percentile(kl, 99), "kl_max": kl.max(),
            "same_top": (reference.argmax(axis=1) == own.argmax(axis=1)).mean(), "nll": nll_b.sum(),
            "ppl": np.exp(nll_b.mean()), "ppl_ratio": np.exp(nll_b.mean() - nll_a.mean()), "rows": len(ids),
            "tokens": len(rows)}


def close(got, expected, what):
    for key, x in expected.items():
        expect(abs(got[key] - x) <= 1e-9 * max(1, abs(x)), f"{what}: {key} is {got[key]}, NumPy {x}")


def put(name, tensors):
    """A safetensors file of (name, dtype, array)."""
    header, data = {}, b""
    for key, dtype, array in tensors:
        raw = np.ascontiguousarray(array).tobytes()
        header[key] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    with open(name, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def check_kl():
    compile_nano("exact", "--quant=f32")
    compile_nano("four", "--quant=q4")
    heldout("text", 12)
    for window in (None, 100):
        more = ["--window", str(window)] if window else []
        good(["./exact", "eval", "-f", "text", "--logits", "ref"] + more)
        plain = good(["./four", "eval", "-f", "text", "--logits", "own"] + more)
        out = good(["./four", "eval", "-f", "text", "--kl", "ref"] + more)
        result = json.loads(good(["./four", "eval", "-f", "text", "--kl", "ref", "--json", "-b", "37"] + more))
        lines = {l.split()[0]: float(l.split()[1]) for l in out.splitlines()}
        expect(lines == result, f"--json differs: {lines} {result}")
        expect(out.startswith("tokens ") and all(l in out.splitlines() for l in plain.splitlines()),
               f"--kl changes the score: {plain!r} {out!r}")
        reference, own = safetensors.File("ref"), safetensors.File("own")
        ids = own["input_ids"]
        starts = range(0, len(ids), window) if window else [0]
        close(result, numpy_divergence(reference["logits"], own["logits"], ids, starts), f"window {window}")
        expect(all(ids[s] == ids[0] for s in starts), "<bos> in front of every window")
        expect(0.0001 < result["kl_mean"] < 0.2 and result["same_top"] > 0.9, f"result {result}")
        piped = subprocess.Popen(["cat", "ref"], stdout=subprocess.PIPE)
        again = json.loads(good(["./four", "eval", "-f", "text", "--kl", "-", "--json"] + more, pipe=piped.stdout))
        piped.wait()
        expect(again == result, "through a pipe")
        itself = json.loads(good(["./four", "eval", "-f", "text", "--kl", "own", "--json"] + more))
        expect(itself["kl_max"] < 1e-12 and itself["same_top"] == 1 and itself["ppl_ratio"] == 1, f"itself {itself}")
    # A sequence's logits do not depend on the windows before it: --window cuts,
    # each piece is what eval makes of it alone.
    ids = safetensors.File("own")["input_ids"]
    with open("piece", "w") as f:
        f.write(" ".join(map(str, ids[100:200])))
    good(["./four", "eval", "--tokens", "piece", "--logits", "alone"])
    expect((safetensors.File("alone")["logits"] == safetensors.File("own")["logits"][100:200]).all(), "second window")
    check_references()


def check_references():
    with open("few", "w") as f:
        f.write("2 3 4 5")
    good(["./exact", "eval", "--tokens", "few", "--logits", "ref"])
    ref = safetensors.File("ref")
    ids, logits = ref["input_ids"].copy(), ref["logits"].copy()
    command = ["./four", "eval", "--tokens", "few", "--kl", "made"]
    put("made", [("logits", "F32", logits), ("extra", "U8", np.zeros(3, np.uint8)), ("input_ids", "I64", ids.astype(np.int64))])
    good(command)
    other = ids.copy()
    other[2] = 17
    put("made", [("logits", "F32", logits), ("input_ids", "I32", other)])
    refused(3, ["'made'", "expected id 4 as token 2", "found 17"], command)
    put("made", [("logits", "F32", logits[:3]), ("input_ids", "I32", ids[:3])])
    refused(3, ["'made'", "expected F32 [4, 2048]", "found F32 [3, 2048]"], command)
    put("made", [("logits", "F32", logits[:, :100]), ("input_ids", "I32", ids)])
    refused(3, ["found F32 [4, 100]"], command)
    put("made", [("logits", "F16", logits.astype(np.float16)), ("input_ids", "I32", ids)])
    refused(3, ["found F16 [4, 2048]"], command)
    put("made", [("logits", "F32", logits)])
    refused(3, ["lacks the tensor input_ids"], command)
    put("made", [("input_ids", "I32", ids)])
    refused(3, ["lacks the tensor logits"], command)
    bad = logits.copy()
    bad[1, 7] = np.nan
    put("made", [("input_ids", "I32", ids), ("logits", "F32", bad)])
    refused(3, ["'made'", "row 1 of logits", "not finite"], command)
    put("made", [("input_ids", "I32", ids), ("logits", "F32", logits)])
    whole = open("made", "rb").read()
    for size in (0, 5, 100, len(whole) - 1):
        with open("made", "wb") as f:
            f.write(whole[:size])
        refused(3, ["'made'"], command)
    refused(3, ["'nothing'", "No such file"], command[:-1] + ["nothing"])
    refused(2, ["standard input"], ["./four", "eval", "--tokens", "-", "--kl", "-"])
    refused(2, ["--window", "at least 2"], ["./four", "eval", "--tokens", "few", "--window", "1"])
    text = good(["./four", "eval", "--help"])
    expect("--kl" in text and "--window" in text, "eval --help")


# -- gemmac --verify --------------------------------------------------------

def check_verify():
    heldout("text", 8)
    rc, _, err = call([GEMMAC, NANO, f"--target={TARGET}", "--quant=q4", "-o", "checked", "--verify", "text"])
    expect(rc == 0 and "KL divergence" in err and "same top token" in err, f"--verify: exit {rc}: {err}")
    expect(set(os.listdir(".")) == {"text", "checked"}, f"left behind: {os.listdir('.')}")
    embedded = json.loads(good(["./checked", "info", "--json"]))["fidelity"]
    compile_nano("exact", "--quant=f32")
    good(["./exact", "eval", "-f", "text", "--window", str(embedded["window"]), "--logits", "ref"])
    again = json.loads(good(["./checked", "eval", "-f", "text", "--window", str(embedded["window"]), "--kl", "ref", "--json"]))
    for key in ("kl_mean", "kl_median", "kl_p99", "kl_max", "same_top", "ppl", "ppl_ratio"):
        expect(embedded[key] == again[key], f"{key}: embedded {embedded[key]}, again {again[key]}")
    expect(embedded["tokens"] == again["rows"] > 100 and embedded["text"] == "text", f"embedded {embedded}")
    text = good(["./checked", "info", "--card"])
    for part in ("beside exact math", "'text'", "KL divergence", f"{embedded['kl_mean']:.3g}", "same top token",
                 "perplexity", f"{embedded['ppl_ratio']:.6f}"):
        expect(part in text, f"card lacks {part}")
    good(["./checked", "info", "--verify"])
    expect(good(["./checked", "run", "-p", "What is the capital of France?", "--temp", "0"]) != "", "run")
    compile_nano("plain", "--quant=q4")
    a, b = open("checked", "rb").read(), open("plain", "rb").read()
    end = sections("plain")["manifest"]
    expect(a[:end] == b[:end] and sections("checked")["manifest"] == end, "--verify changes more than the manifest")
    # Exact math beside itself, weights in a file of their own, a window that
    # the text does not fit into.
    heldout("long", 40)
    good([GEMMAC, "-q", NANO, f"--target={TARGET}", "--quant=f32", "-o", "same", "--weights=external", "--verify", "long"])
    same = json.loads(good(["./same", "info", "--json"]))["fidelity"]
    expect(same["kl_max"] < 1e-12 and same["same_top"] == 1 and same["tokens"] > same["window"], f"same: {same}")
    for name in "same", "same.weights", "checked", "exact", "plain", "ref", "long":
        os.unlink(name)
    check_refusals()
    check_signal()


def check_refusals():
    command = [GEMMAC, "-q", NANO, f"--target={TARGET}", "-o", "out"]
    open("empty", "w").close()
    with open("latin1", "wb") as f:
        f.write(b"caf\xe9 au lait")
    before = set(os.listdir("."))
    refused(3, ["'empty' is empty"], command + ["--verify", "empty"])
    refused(3, ["'latin1'", "offset 3"], command + ["--verify", "latin1"])
    refused(3, ["'none'", "No such file"], command + ["--verify", "none"])
    refused(3, ["'.'"], command + ["--verify", "."])
    refused(2, ["--verify", "--compile-to"], command + ["--verify", "text", "--compile-to=plan"])
    other = "arm-neon" if TARGET.startswith("x86") else "x86-avx512"
    refused(6, ["--verify", other, "cannot run", "eval --kl"],
            [GEMMAC, "-q", NANO, f"--target={other}", "-o", "out", "--verify", "text"])
    refused(4, ["--verify", "no tokenizer"],
            [GEMMAC, "-q", os.path.join(SRC, "test/golden/tiny-d"), f"--target={TARGET}", "-o", "out", "--verify", "text"])
    refused(5, ["none/out"], [GEMMAC, "-q", NANO, f"--target={TARGET}", "-o", "none/out", "--verify", "text"])
    expect(set(os.listdir(".")) == before, f"left behind: {set(os.listdir('.')) - before}")
    expect("--verify" in good([GEMMAC, "--help"]), "gemmac --help")


def running(*parts):
    """Processes whose command lines hold every part."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            line = open(path, "rb").read()
            if all(part.encode() in line for part in parts):
                found.append(path)
        except OSError:
            pass
    return found


def check_signal():
    """A signal while both programs run leaves no file and no process."""
    with open("endless", "w") as f:
        f.write(open("text", encoding="utf-8").read() * 200)
    before = set(os.listdir("."))
    for number in signal.SIGTERM, signal.SIGINT, signal.SIGKILL:
        name = f"out-{number}-{os.getpid()}"
        process = subprocess.Popen([GEMMAC, NANO, f"--target={TARGET}", "-o", name, "--verify", "endless"],
                                   stderr=subprocess.DEVNULL,
                                   # a shell starts background work with it ignored
                                   preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        for _ in range(1200):
            if len(running(name + ".", "eval")) == 2:
                break
            time.sleep(0.05)
        else:
            fail("the two programs never ran")
        process.send_signal(number)
        process.wait(timeout=60)
        expect(process.returncode != 0, f"signal {number}: exit 0")
        for _ in range(100):
            if not running(name + "."):
                break
            time.sleep(0.05)
        expect(not running(name + "."), f"signal {number}: processes run on")
        left = set(os.listdir(".")) - before
        expect(not left or number == signal.SIGKILL, f"signal {number} left {left}")
        expect(name not in left, f"signal {number}: a program that was never complete")
        for path in left:
            os.unlink(path)


def empty_folder():
    for left in os.listdir("."):
        shutil.rmtree(left) if os.path.isdir(left) else os.unlink(left)


checks.run([check_errors, check_hashes, check_kl, check_verify], sys.argv[4:], before=empty_folder)
