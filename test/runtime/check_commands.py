"""Runs a program (environment variable PROGRAM, compiled from examples/nano-e)
with good and bad arguments in an empty working folder and checks exit codes,
messages and files: check_commands.py [NAME...] runs the checks check_NAME."""
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time

TOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools")
sys.path.insert(0, TOOLS)
import checks
from checks import fail

PROGRAM = os.environ["PROGRAM"]


def abi_version():
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
    with open(os.path.join(root, "runtime/abi.h")) as text:
        return re.search(r"#define GM_ABI (\d+)", text.read())[1]


def call(args, limit="", stdin=b"", program=PROGRAM):
    command = [program] + args
    if limit:
        command = ["bash", "-c", limit + '; exec "$@"', "bash"] + command
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=60)
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def refused(code, parts, args, **more):
    rc, out, err = call(args, **more)
    missing = [p for p in parts if p not in err]
    if rc != code or missing or not err.startswith("error: ") or err.count("\n") != 1:
        fail(f"{args} {more}: exit {rc}, expected {code}; message {err!r} lacks {missing}")


def good(args, **more):
    rc, out, err = call(args, **more)
    if rc != 0:
        fail(f"{args} {more}: exit {rc}: {err}")
    return out


def write(name, content):
    with open(name, "wb") as f:
        f.write(content if isinstance(content, bytes) else content.encode())


def check_refusals():
    write("letters", "1 2 x")
    write("large", "1 2 2048")
    write("negative", "1 -2")
    write("empty", "")
    write("long", "1 " * 9000)
    write("latin1", b"caf\xe9")
    refused(2, ["the standard input is empty"], [])
    refused(2, ["--nope", "run --help"], ["run", "-p", "x", "--nope"])
    refused(2, ["--nope", "eval --help"], ["eval", "--nope"])
    refused(2, ["-n", "a value"], ["run", "-p", "x", "-n"])
    refused(2, ["-n", "'abc'", "whole number"], ["run", "-p", "x", "-n", "abc"])
    refused(2, ["-n", "'5x'"], ["run", "-p", "x", "-n", "5x"])
    refused(2, ["--temp", "at least 0", "'-1'"], ["run", "-p", "x", "--temp", "-1"])
    refused(2, ["--temp", "'nan'"], ["run", "-p", "x", "--temp", "nan"])
    refused(2, ["--top-p", "from 0 to 1"], ["run", "-p", "x", "--top-p=1.5"])
    refused(2, ["-t", "from 1 to 256", "'0'"], ["run", "-p", "x", "-t", "0"])
    refused(2, ["-b", "'0'"], ["run", "-p", "x", "-b", "0"])
    refused(2, ["-s", "'-3'"], ["run", "-p", "x", "-s", "-3"])
    refused(2, ["-n", "'5x'"], ["run", "-p", "x", "-n5x"])
    refused(2, ["--tmp", "did you mean '--temp'?"], ["x", "--tmp", "0"])
    refused(2, ["'--ctx-sizes'", "did you mean '--ctx-size'?"], ["bench", "--ctx-sizes=5"])
    refused(2, ["unknown flag '--nothing' of 'run'; see 'run --help'"], ["x", "--nothing"])
    for word, meant in (("chatt", "chat"), ("caht", "chat"), ("Info", "info"), ("tokenise", "tokenize"), ("serv", "serve"),
                        ("evla", "eval")):
        refused(2, [f"unknown command '{word}'; did you mean '{meant}'? for a prompt: run '{word}'"], [word, "-n", "1"])
    for word in "help", "embed", "server", "Help":
        refused(2, [f"unknown command '{word}'; --help lists the commands; for a prompt: run '{word}'"], [word])
    for prompt in ["run", "help"], ["-p", "serve"], ["Hello"], ["Paris"], ["chat about"], ["run", "--", "--help"], ["--", "-hello"], ["-p", "--help"]:
        good(prompt + ["-n", "0"] if "--" not in prompt else prompt[:1] + ["-n", "0"] + prompt[1:] if prompt[0] == "run"
             else ["-n", "0"] + prompt)
    refused(2, ["8192", "9000"], ["run", "-p", "x", "-c", "9000"])
    refused(2, ["--json takes no value"], ["info", "--json=1"])
    refused(2, ["'more'"], ["info", "more"])
    refused(2, ["the standard input is empty"], ["run"])
    refused(3, ["the standard input is not UTF-8", "offset 1"], ["run"], stdin=b"a\xff")
    refused(2, ["--card", "--sources"], ["info", "--card", "--sources"])
    refused(2, ["got several"], ["run", "-p", "x", "-f", "letters"])
    refused(2, ["twice"], ["one", "-p", "two"])
    refused(2, ["the standard input is empty"], ["eval"])
    refused(2, ["got several"], ["eval", "-f", "letters", "--tokens", "letters"])
    refused(2, ["got several"], ["eval", "some text", "--tokens", "letters"])
    refused(2, ["--split", "-f FILE"], ["eval", "--tokens", "letters", "--split", "x"])
    refused(2, ["empty"], [""])
    refused(2, ["'empty' is empty"], ["run", "-f", "empty"])
    refused(2, ["'empty' holds no token ids"], ["run", "--tokens", "empty"])
    refused(2, ["excludes --raw"], ["x", "--raw", "--system", "y"])
    refused(3, ["'none'", "No such file"], ["run", "-f", "none"])
    refused(3, ["'latin1'", "0xE9", "offset 3"], ["run", "-f", "latin1"])
    refused(3, ["'letters'", "entry 2", "'x'"], ["run", "--tokens", "letters"])
    refused(3, ["entry 2 is 2048", "0 to 2047"], ["eval", "--tokens", "large"])
    refused(3, ["entry 1 is -2"], ["run", "--tokens", "-"], stdin=b"1 -2")
    refused(1, ["9000", "8192"], ["run", "--tokens", "long"])
    refused(1, ["9000", "8192"], ["eval", "--tokens", "long"])
    write("hundred", "5 " * 100)
    refused(1, ["100", "99"], ["run", "--tokens", "hundred", "-c", "99"])
    refused(1, ["100", "99"], ["eval", "--tokens", "hundred", "-c", "99"])
    refused(5, ["largest", "-c ", "-b "], ["x", "-b", "8192"], limit="ulimit -v 70000")


def check_memory_advice():
    """What the refusal names fits; a little more does not."""
    limit = "ulimit -v 70000"
    _, _, err = call(["x", "-b", "8192", "--temp", "0"], limit=limit)
    context, batch = (int(re.search(flag + r" (\d+)", err).group(1)) for flag in ("-c", "-b"))
    good(["x", "--temp", "0", "-n", "1", "-b", "8192", "-c", str(context - 64)], limit=limit)
    good(["x", "--temp", "0", "-n", "1", "-b", str(batch - 64)], limit=limit)
    refused(5, ["largest"], ["x", "-b", str(batch + 64)], limit=limit)
    # Addresses are reserved for more than the plan: at no limit does the check pass what start cannot have.
    total = json.loads(good(["info", "--json"]))["total_bytes"] >> 10
    for kib in range(total - 1024, total + 8192, 256):
        rc, _, err = call(["x", "-n", "1"], limit=f"ulimit -v {kib}")
        if rc and (rc != 5 or "fits" not in err or "--no-memory-check" not in err):
            fail(f"ulimit -v {kib}: exit {rc}, {err!r}")
    good(["x", "-n", "1", "-c", "64", "--no-memory-check"], limit="ulimit -v 60000")
    for kib, fits in (total // 2, False), (total * 2, True):
        if ("does not fit" in good(["info"], limit=f"ulimit -v {kib}")) == fits:
            fail(f"info within ulimit -v {kib}")
    rc, _, err = call(["x", "-b", "8192", "--no-memory-check"], limit="ulimit -v 45000")
    if rc != 5 or "fits" in err:
        fail(f"--no-memory-check: exit {rc}, {err!r}")


def check_files():
    """Outputs appear complete or not at all."""
    write("hundred", "5 " * 100)
    before = set(os.listdir("."))
    refused(5, ["/dev/full", "No space"], ["eval", "--tokens", "hundred", "--logits", "/dev/full"])
    refused(5, ["none/x"], ["eval", "--tokens", "hundred", "--hidden", "none/x"])
    refused(5, ["'out'", "too large"], ["eval", "--tokens", "hundred", "--logits", "out"], limit="ulimit -f 100")
    rc, _, err = call(["eval", "--tokens", "hundred"], limit="exec >/dev/full")
    if rc != 5:
        fail(f"full standard output: exit {rc}")
    if set(os.listdir(".")) != before:
        fail(f"left behind: {set(os.listdir('.')) - before}")
    # No name that somebody can prepare: links of the old pattern, for every process number.
    os.mkdir("planted")
    write("planted/victim", "precious")
    most = int(open("/proc/sys/kernel/pid_max").read())
    process = start(["x", "-n", "1", "--temp", "0"])
    process.wait()
    for number in range(process.pid, process.pid + 400):
        os.symlink("victim", f"planted/out.tmp{number % most}")
    good(["eval", "--tokens", "hundred", "--logits", "planted/out"])
    if open("planted/victim").read() != "precious" or os.path.islink("planted/out"):
        fail("a planted link was followed")
    shutil.rmtree("planted")
    good(["eval", "--tokens", "hundred", "--logits", "logits", "--hidden", "hidden"])
    for name, columns in ("logits", 2048), ("hidden", 160):
        data = open(name, "rb").read()
        n = struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8:8 + n])
        ids = 400 if name == "logits" else 0
        expected = {name: {"dtype": "F32", "shape": [100, columns], "data_offsets": [ids, ids + 400 * columns]}}
        if ids:
            expected["input_ids"] = {"dtype": "I32", "shape": [100], "data_offsets": [0, ids]}
            if data[8 + n:8 + n + ids] != struct.pack("<i", 5) * 100:
                fail("input_ids")
        if header != expected:
            fail(f"{name}: header {header}")
        if len(data) != 8 + n + ids + 400 * columns or n % 8:
            fail(f"{name}: {len(data)} bytes")


def check_broken_programs():
    data = open(PROGRAM, "rb").read()
    write("stripped", data[:struct.unpack("<Q", data[-104:-96])[0]])  # up to the weights
    write("cut", data[:-1])
    write("version", data[:-16] + struct.pack("<i", 99) + data[-12:])
    for name in "stripped", "cut", "version":
        os.chmod(name, 0o755)
    refused(3, ["stripped"], ["x"], program="./stripped")
    refused(3, ["stripped"], ["x"], program="./cut")
    refused(3, ["version 99", f"version {abi_version()}"], ["x"], program="./version")


def check_hardening():
    """At an address that each start draws anew, without an interpreter, nothing both writable and executable, tables
    with addresses read-only, frames of the runtime guarded."""
    data = open(PROGRAM, "rb").read()
    kind, entries, count = struct.unpack_from("<H", data, 16)[0], *struct.unpack_from("<Q", data, 32), struct.unpack_from("<H", data, 56)[0]
    headers = [struct.unpack_from("<II", data, entries + 56 * i) for i in range(count)]
    types = {t for t, _ in headers}
    if kind != 3 or 3 in types or 0x6474E552 not in types or any(t == 1 and flags & 3 == 3 for t, flags in headers):
        fail(f"ELF type {kind}, headers {headers}")
    if b"stack smashing detected" not in data:
        fail("no stack protector")


def check_run():
    greedy = good(["run", "-p", "What is the capital of France?", "--temp", "0"])
    if "Paris" not in greedy or not greedy.endswith("\n"):
        fail(f"greedy: {greedy!r}")
    for same in (["What is the capital of France?", "--temp", "0", "-t", "1"],
                 ["run", "-f", "-", "--temp=0", "-b", "3"], ["--temp", "0"], ["run", "--temp", "0"],
                 ["-", "--temp", "0"], ["run", "-", "--temp", "0"], ["run", "-p", "What is the capital of France?", "--temp", "0"],
                 ["What is the capital of France?", "--temp", "0", "--system", ""]):
        if "What is the capital of France?" in same:
            same_input = b""
        else:
            same_input = b"What is the capital of France?"
        if good(same, stdin=same_input) != greedy:
            fail(f"{same} differs")
    # TEXT and a pipe: both, with an empty line between; what is neither pipe nor file is not read.
    both = ["--temp", "0", "-n", "12", "--print-tokens", "--ignore-eos"]
    if good(["Say it again:"] + both, stdin=b"One two.\n") != good(["Say it again:\n\nOne two.\n"] + both):
        fail("TEXT and a pipe")
    with open("/dev/null") as nothing:
        if subprocess.run([PROGRAM, "Say it again:"] + both, stdin=nothing, capture_output=True, text=True).stdout != \
                good(["Say it again:"] + both):
            fail("TEXT and /dev/null")
    ids = good(["What is the capital of France?", "--temp", "0", "--print-tokens"])
    if not re.fullmatch(r"\d+( \d+)*\n", ids):
        fail(f"ids: {ids!r}")
    stop = ids.split()[-1]
    going_on = good(["What is the capital of France?", "--temp", "0", "--print-tokens", "--ignore-eos", "-n", "40"])
    if len(going_on.split()) != 40 or going_on.split()[:len(ids.split())] != ids.split():
        fail("--ignore-eos")
    info = json.loads(good(["info", "--json"]))
    if int(stop) not in info["sampling"]["stop"]:
        fail(f"does not end in a stop id: {ids}")
    if good(["x", "-n", "0"]) != "":
        fail("-n 0 printed something")
    # Nothing but the answer, unless asked for; the seed that is named gives it again.
    hot = ["x", "-n", "8", "--temp", "3", "--print-tokens", "--ignore-eos"]
    for random in [], ["-s", "-1"]:
        _, out, err = call(hot + random)
        if err:
            fail(f"on the standard error: {err!r}")
        _, out, err = call(hot + random + ["--timings"])
        found = re.fullmatch(r"timings: (\d+) tokens read, first token after [\d.]+ ms \([\d.]+ tok/s\); 8 generated in "
                             r"[\d.]+ ms \([\d.]+ tok/s\); seed (\d+)\n", err)
        if not found or int(found[1]) < 5:
            fail(f"--timings: {err!r}")
        elif good(hot + ["-s", found[2]]) != out:
            fail(f"seed {found[2]} gives another answer")
    if good(hot) == good(hot) or good(["x", "-n5", "-s1", "--temp", "3"]) != good(["x", "-n", "5", "-s", "1", "--temp", "3"]):
        fail("-s -1, or -n5 -s1")
    tokens = ["x", "-n", "20", "--print-tokens", "--ignore-eos", "--temp", "2"]
    a, b, c = (good(tokens + ["-s", s, "--top-k", k]) for s, k in (("1", "0"), ("1", "0"), ("2", "0")))
    if a != b or a == c:
        fail("seeds")
    if good(tokens + ["-s", "1", "--top-k", "1"]) != good(["x", "-n", "20", "--print-tokens", "--ignore-eos", "--temp", "0"]):
        fail("top-k 1 is not greedy")
    # The context ends the generation: 12 + 1 ids after 100 in a context of 112.
    write("hundred", "5 " * 100)
    if len(good(["run", "--tokens", "hundred", "-c", "112", "--temp", "0", "--ignore-eos", "--print-tokens"]).split()) != 13:
        fail("end of the context")


def check_load():
    """Wherever weights lie, the text is the same."""
    text = good(["x", "--temp", "0", "-n", "8"])
    for how, copied in ("map", False), ("auto", False), ("copy", True):  # auto: these are too few to be worth it
        rc, out, err = call(["x", "--temp", "0", "-n", "8", "--timings", "--load", how])
        if rc or out != text or ("weights copied" in err) != copied:
            fail(f"--load {how}: exit {rc}, {out!r}, {err!r}")
    refused(2, ["--load", "auto, map or copy", "'fast'"], ["x", "--load", "fast"])


def check_eval():
    write("text", "The capital of France is Paris.")
    lines = good(["eval", "-f", "text"]).splitlines()
    values = {line.split()[0]: float(line.split()[1]) for line in lines}
    if list(values) != ["tokens", "nll", "mean", "ppl"]:
        fail(f"eval printed {lines}")
    if json.loads(good(["eval", "-f", "text", "--json"])) != values:
        fail("eval --json differs")
    for same in ["The capital of France is Paris."], ["-p", "The capital of France is Paris."], [], ["-"], ["-f", "-"]:
        stdin = b"" if same and same[-1] != "-" else b"The capital of France is Paris."
        if good(["eval"] + same, stdin=stdin).splitlines() != lines:
            fail(f"eval {same} differs")
    if abs(values["mean"] * values["tokens"] - values["nll"]) > 1e-9:
        fail("mean")
    for same in ["-b", "1"], ["-t", "5"], ["--test-nan"], ["-t", "3", "--test-order", "4"]:
        if good(["eval", "-f", "text"] + same).splitlines() != lines:
            fail(f"eval {same} differs")
    # Positions are relative: an offset changes rounding alone.
    moved = json.loads(good(["eval", "-f", "text", "--json", "--rope-offset", "1000"]))
    if abs(moved["mean"] - values["mean"]) > 0.05:
        fail(f"--rope-offset: mean {moved['mean']} instead of {values['mean']}")
    # Several texts in one file count as each alone; a window cuts each.
    for texts, split, more in (["One.", "Two\nlines."], "--", []), (["a b c d e", "f"], "", ["--window", "3"]):
        write("texts", f"\n{split}\n".join(texts) + "\n")
        got = json.loads(good(["eval", "-f", "texts", "--split", split, "--json"] + more))
        alone = []
        for text in texts:
            write("text", text)
            alone.append(json.loads(good(["eval", "-f", "text", "--json"] + more)))
        for value in "tokens", "nll":
            if abs(got[value] - sum(each[value] for each in alone)) > 1e-9:
                fail(f"--split: {value} {got[value]} instead of {alone}")
    # However much of the input is kept, and whether it can be read twice.
    words = good(["tokenize", "-p", "a b c d e f g h i j, " * 30])
    write("words", "a b c d e f g h i j, " * 30)
    write("ids", words)
    write("texts", "One.\n--\nTwo\nlines.\n--\n\n--\n" + "a b c d e f " * 9 + "\n")
    for args in (["-f", "words", "--window", "7"], ["--tokens", "ids", "--window", "64"], ["-f", "texts", "--split", "--"],
                 ["-f", "texts", "--split", "--", "--window", "4"], ["-f", "words"]):
        piped = args[:1] + ["-"] + args[2:]
        data = open(args[1], "rb").read()
        expected = good(["eval", *args])
        expected_rows = good(["eval", *args, "--logits", "rows"]) and open("rows", "rb").read()
        for held in "0", "1", "10", "100":
            if good(["eval", *args, "--test-held", held]) != expected or good(["eval", *piped, "--test-held", held], stdin=data) != expected:
                fail(f"eval {args} --test-held {held} differs")
            with open(args[1]) as file: # a file that is the standard input can be read twice
                same = subprocess.run([PROGRAM, "eval", *piped, "--test-held", held, "--logits", "again"], stdin=file,
                                      capture_output=True, text=True)
            if same.stdout != expected or open("again", "rb").read() != expected_rows:
                fail(f"eval {piped} --test-held {held}: {same.stdout} {same.stderr}")
            good(["eval", *args, "--test-held", held, "--kl", "rows"])
    refused(2, ["--logits", "in a file, not in a pipe"], ["eval", "--window", "7", "--test-held", "10", "--logits", "again"], stdin=b"abc " * 100)
    refused(1, ["the standard input", "more than 20 tokens", "--window"], ["eval", "--split", "x", "--test-held", "10", "-c", "20"],
            stdin=b"abc " * 100)
    refused(3, ["the standard input is not UTF-8", "0xFF", "offset 400"], ["eval", "--window", "7", "--test-held", "10"],
            stdin=b"abc " * 100 + b"\xff")
    refused(3, ["0xC3", "offset 400"], ["eval", "--window", "7"], stdin=b"abc " * 100 + b"\xc3")
    write("one", "7")
    if good(["eval", "--tokens", "one"]).splitlines()[0] != "tokens 0":
        fail("one token")


def check_info():
    info = json.loads(good(["info", "--json", "-c", "1000", "-b", "64", "-t", "3"]))
    if sum(info["memory"].values()) != info["total_bytes"]:
        fail("total_bytes is not the sum")
    if (info["plan"]["context"], info["plan"]["batch"], info["plan"]["threads"]) != (1000, 64, 3):
        fail(f"plan {info['plan']}")
    if not any("hash" in s for s in info["sources"]) or not any("ignored" in s for s in info["sources"]):
        fail("sources")
    text = good(["info", "-c", "1000", "-b", "64", "-t", "3"])
    for name, value in list(info["memory"].items()) + [("total", info["total_bytes"])]:
        if not re.search(rf"\b{name}\s+{value}\b", text):
            fail(f"info lacks {name} {value}")
    # One screen; the tensors on request.
    if len(text.splitlines()) > 40 or "--sources" not in text or " 1 matrices" in text:
        fail(f"info is {len(text.splitlines())} lines")
    if any(len(re.findall(r"\d{8,}", str(info["sampling"][name]))) for name in ("temperature", "top_p")):
        fail(f"long floats: {info['sampling']}")
    listed = good(["info", "--sources"]).splitlines()
    if len(listed) != len(info["sources"]) or any(s["tensor"] not in line for s, line in zip(info["sources"], listed)):
        fail("info --sources")
    used = sum("hash" in s for s in info["sources"])
    if f"{used} tensors used" not in text:
        fail(f"info does not say that {used} tensors are used")
    table = info["per_layer_embeddings"] # a row is gathered whole, in two parts
    if info["memory"]["ple"] != 64 * table["row_bytes"]:
        fail(f"{info['memory']['ple']} bytes for 64 rows of {table}")
    if f"{table['rows']} embeddings of {table['row_bytes']} bytes ({table['layout']})" not in text:
        fail(f"info lacks {table}")
    # Resident memory stays below, whatever runs.
    write("many", " ".join(str(i * 7919 % 2048) for i in range(3000)))
    for args in ["-b", "64"], ["-b", "512", "-t", "1"], ["-b", "1", "-c", "3000"]:
        total = json.loads(good(["info", "--json"] + args))["total_bytes"]
        peak = [sys.executable, "-I", "-S", os.path.join(TOOLS, "peak.py")]
        used = int(subprocess.check_output(peak + [PROGRAM, "eval", "--tokens", "many"] + args).split()[-1])
        if used > total:
            fail(f"{args}: resident {used}, planned {total}")


FOREVER = ["x", "--ignore-eos", "--temp", "0", "-n", "1000000", "-c", "3000", "-t", "1"]


def start(args, **more):
    return subprocess.Popen([PROGRAM] + args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, **more)


def ended(what, process, code):
    """Waits for the end; gives what was written."""
    try:
        out, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        fail(f"{what}: it does not end")
        return b"", b""
    if process.returncode != code:
        fail(f"{what}: exit {process.returncode}, expected {code}: {err!r}")
    return out, err


def check_interrupt():
    """A program that a signal ends has written whole lines and dies of that signal."""
    for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
        process = start(FOREVER)
        begin = process.stdout.read(1)
        process.send_signal(number)
        out, err = ended(number.name, process, -number)
        if not (begin + out).endswith(b"\n") or err:
            fail(f"{number.name}: {out[-20:]!r}, {err!r}")
    write("many", "5 " * 100000)
    process = start(["eval", "--tokens", "many", "--window", "10", "-b", "1", "--logits", "out"])
    while not any(name.startswith("out") for name in os.listdir(".")):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, err = ended("eval", process, -signal.SIGTERM)
    if b"interrupted after" not in err or any(name.startswith("out") for name in os.listdir(".")):
        fail(f"eval: {err!r}, {os.listdir('.')}")
    # The second one does not wait for anything, here for a reader of the FIFO.
    os.mkfifo("fifo")
    process = start(["x", "-n", "1", "--temp", "0", "--profile", "fifo"])
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    if process.poll() is not None:
        fail(f"the first signal ended a program in the middle: {process.returncode}")
    process.send_signal(signal.SIGINT)
    ended("second signal", process, -signal.SIGINT)
    # A reader that does not read does not hold it up; the text stays whole characters.
    process = start(FOREVER, pipesize=4096)
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    _, err = ended("full pipe", process, -signal.SIGINT)
    if err:
        fail(f"full pipe: {err!r}")
    # What the parent ignores is not taken.
    process = start(FOREVER + ["-n", "300", "--print-tokens"],
                    preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    begin = process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    out, _ = ended("ignored signal", process, 0)
    if len((begin + out).split()) != 300:
        fail(f"an ignored signal ended the answer: {len((begin + out).split())} of 300 tokens")


def check_unread():
    """The first failed write ends the work."""
    def ignore():
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)

    whole = time.time()
    good(FOREVER)
    whole = time.time() - whole
    begin = time.time()
    process = start(FOREVER, preexec_fn=ignore, restore_signals=False)
    process.stdout.read(1)
    process.stdout.close()
    process.stdout = None
    _, err = ended("ignored SIGPIPE", process, 5)
    if b"standard output: Broken pipe" not in err or time.time() - begin > whole / 2:
        fail(f"ignored SIGPIPE: {err!r} after {time.time() - begin:.1f} of {whole:.1f} s")
    begin = time.time()
    rc, _, err = call(FOREVER, limit="exec >/dev/full")
    if rc != 5 or "No space" not in err or time.time() - begin > whole / 2:
        fail(f"/dev/full: exit {rc}, {err!r} after {time.time() - begin:.1f} of {whole:.1f} s")
    process = start(FOREVER)
    process.stdout.read(1)
    process.stdout.close()
    process.stdout = None
    ended("SIGPIPE", process, -signal.SIGPIPE)


def check_closed_streams():
    """A standard stream that is closed is none; no file takes its number."""
    refused(2, ["the standard input is empty"], ["run", "-f", "-"], limit="exec <&-")
    rc, out, err = call(["x", "-n", "3", "--profile", "trace"], limit="exec >&- 2>&-")
    if rc != 0 or out or err or json.load(open("trace"))["displayTimeUnit"] != "ns":
        fail(f"closed outputs: exit {rc}")


def check_small_stack():
    """Raised where that is allowed, refused otherwise; never a crash."""
    good(["x", "-n", "3"], limit="ulimit -S -s 256")
    refused(5, ["stack", "2048", "ulimit -s"], ["x", "-n", "3"], limit="ulimit -s 256")


def check_help():
    for command in "run", "eval", "info", "bench":
        text = good([command, "--help"])
        for flag in "-t", "-c", "-b":
            if flag not in text:
                fail(f"{command} --help lacks {flag}")
        if "--test" in text or "--rope" in text:
            fail(f"{command} --help shows hidden flags")
        if "--device" in text:
            fail(f"{command} --help shows a flag of programs for cards")
        if command not in good(["--help"]):
            fail(f"--help lacks {command}")
    for command in "run", "chat":
        text = good([command, "--help"])
        sampling = json.loads(good(["info", "--json"]))["sampling"]
        for flag, name in ("--temp", "temperature"), ("--top-k", "top_k"), ("--top-p", "top_p"):
            if not re.search(rf"{flag} .*\(default: {sampling[name]}, the model's\)", text):
                fail(f"{command} --help lacks the default of {flag}: {sampling[name]}")
    if "5 not enough memory" not in good(["--help"]) or "130" not in good(["--help"]):
        fail("--help lacks the exit codes")
    if "nano-e" not in good(["--version"]):
        fail("--version")


checks.run([check_refusals, check_memory_advice, check_files, check_broken_programs, check_hardening, check_run, check_load, check_eval,
            check_info, check_interrupt, check_unread, check_closed_streams, check_small_stack, check_help], sys.argv[1:])
