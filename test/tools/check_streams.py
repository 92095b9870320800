"""The standard streams as shells give them, closed, full, without a reader or limited, for every command of gemmac,
gemma-opt, gemma-kernels and a program: check_streams.py BIN PROGRAM MODEL CONFIG [GROUP...] in an empty working folder.
BIN has the three tools, PROGRAM is one of MODEL, a checkpoint; CONFIG is a folder with config.json."""
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import checks
from checks import fail

BIN, PROGRAM, MODEL, CONFIG = sys.argv[1:5]
KERNEL = ["--family", "linear", "--constants", "k=64,format=bf16,act=bf16"]

# Rows: arguments, exit code, whether the result goes to the standard output, the file that is the standard input.
PROGRAM_COMMANDS = [
    (["--help"], 0, True, ""), (["--version"], 0, True, ""), (["Hi", "-n", "3"], 0, True, ""), (["run", "--help"], 0, True, ""),
    (["run", "Hi", "-n", "3", "--timings"], 0, True, ""), (["run", "-", "-n", "3"], 0, True, "text"),
    (["-", "-n", "3"], 0, True, "text"), (["run", "-n", "3"], 0, True, "text"), (["run", "-f", "-", "-n", "3"], 0, True, "text"),
    (["run", "--tokens", "-", "-n", "3", "--print-tokens"], 0, True, "ids"), (["chat", "Hi", "-n", "3"], 0, True, ""),
    (["eval", "Hi there"], 0, True, ""), (["eval", "-"], 0, True, "text"), (["eval", "--json", "-f", "-", "--window", "3"], 0, True, "text"),
    (["eval", "--tokens", "-"], 0, True, "ids"), (["eval", "--tokens", "ids", "--kl", "-"], 0, True, "rows"),
    (["bench", "-p", "8", "-n", "2", "-r", "1"], 0, True, ""), (["bench", "-p", "8", "-n", "2", "-r", "1", "--json"], 0, True, ""),
    (["info"], 0, True, ""), (["info", "--json"], 0, True, ""), (["info", "--sources"], 0, True, ""), (["info", "--verify"], 0, True, ""),
    (["tokenize", "Hi"], 0, True, ""), (["tokenize", "-"], 0, True, "text"), (["tokenize", "--pieces"], 0, True, "text"),
    (["tokenize", "--json", "-f", "-"], 0, True, "text"), (["detokenize", "5", "6"], 0, True, ""), (["detokenize", "-"], 0, True, "ids"),
    (["detokenize", "-f", "-"], 0, True, "ids"), (["run", "--tokens", "text"], 3, False, ""), (["info", "--nope"], 2, False, ""),
]
GROUPS = {
    "program": (PROGRAM, PROGRAM_COMMANDS),
    "gemmac": (os.path.join(BIN, "gemmac"), [
        (["--help"], 0, True, ""), (["--version"], 0, True, ""), (["--list-targets"], 0, True, ""),
        ([CONFIG, "--compile-to=import", "-o", "-"], 0, True, ""), ([CONFIG, "--compile-to=plan", "--remarks"], 0, True, ""),
        ([CONFIG, "--compile-from=-", "--compile-to=plan", "-o", "-"], 0, True, "ir"), ([CONFIG, "--emit=asm", "-o", "-"], 0, True, ""),
        ([MODEL, "-o", "out", "-v", "--remarks", "--time-report"], 0, False, ""),
        (["none", "-o", "out"], 3, False, ""),
        ([MODEL, "-o", "-"], 2, False, ""), (["--nope"], 2, False, "")]),
    "gemma-opt": (os.path.join(BIN, "gemma-opt"), [
        (["--help"], 0, True, ""), (["--version"], 0, True, ""), (["ir"], 0, True, ""), ([], 0, True, "ir"),
        (["-", "--gemma-optimize"], 0, True, "ir"), (["--show-dialects"], 0, True, ""), (["--list-passes"], 0, True, ""),
        (["ir", "-o", "out.mlir"], 0, False, ""), (["text"], 1, False, ""), (["none"], 1, False, "")]),
    "gemma-kernels": (os.path.join(BIN, "gemma-kernels"), [
        (["--help"], 0, True, ""), (["--version"], 0, True, ""), (["--list"], 0, True, ""), ([*KERNEL, "--emit=asm", "-o", "-"], 0, True, ""),
        ([*KERNEL, "--emit=obj", "-o", "-"], 0, True, ""), ([*KERNEL, "--emit=obj", "-o", "out.o"], 0, False, ""),
        (["bench", *KERNEL, "-n", "1"], 0, True, ""), (["--family", "nope"], 2, False, "")]),
}


def prepare():
    with open("text", "w") as f:
        f.write("What is the capital of France?\n")
    with open("ids", "w") as f:
        f.write("1 2 3 4\n")
    subprocess.run([PROGRAM, "eval", "--tokens", "ids", "--logits", "rows"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([os.path.join(BIN, "gemmac"), CONFIG, "--compile-to=import", "-o", "ir"], check=True)


def outcome(command, setup, source):
    """Exit code and what is left on the standard error; the shell prepares the streams."""
    with open(source or os.devnull) as file:
        done = subprocess.run(["bash", "-c", setup + ' exec "$@"', "bash", *command], stdin=file, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=120)
    return done.returncode, done.stderr.decode(errors="replace")


def without_reader(command, source):
    """A pipe that nobody reads any more, and no signal of that, as services are started."""
    read, write = os.pipe()
    os.close(read)
    with open(source or os.devnull) as file:
        done = subprocess.run(command, stdin=file, stdout=write, stderr=subprocess.PIPE, timeout=120, restore_signals=False,
                              preexec_fn=lambda: signal.signal(signal.SIGPIPE, signal.SIG_IGN))
    os.close(write)
    return done.returncode, done.stderr.decode(errors="replace")


def check_command(program, arguments, code, prints, source):
    command = [program, *arguments]

    def expect(what, got, code, lost=False):
        rc, err = got
        said = "write" in err or "ulimit -f" in err
        if rc != code or (lost and ("error: " not in err or not said)):
            fail(f"{what}: {' '.join(command)}: exit {rc}, expected {code}: {err[-300:]!r}")

    # Nobody wants what a closed stream would take; messages change nothing.
    long = code == 0 and any(word in arguments for word in ("--emit=asm", "bench", MODEL))
    for setup in ("exec 2>/dev/full;",) if long else ("", "exec >&-;", "exec 2>&-;", "exec 2>&- >&-;", "exec 2>/dev/full;"):
        expect(setup, outcome(command, setup, source), code)
    # A closed input is empty, and no file takes its place: the only one that is refused is what needs text.
    if not source:
        if not long:
            expect("exec <&-;", outcome(command, "exec <&-;", source), code)
        expect("all closed", outcome(command, "exec <&- >&- 2>&-;", source), code)
    else:
        rc, err = outcome(command, "exec <&-;", source)
        if rc not in (0, 1, 2, 3) or "offset 24" in err:
            fail(f"exec <&-; {' '.join(command)}: exit {rc}: {err[-300:]!r}")
    # Results that are lost are an error.
    lost = 5 if prints else code
    expect(">/dev/full", outcome(command, "exec >/dev/full;", source), lost, prints)
    if prints or not long:
        expect("without a reader", without_reader(command, source), lost, prints)
    if prints or code == 0:
        expect("ulimit -f", outcome(command, "exec >out.limit; ulimit -f 0;", source), 5, True)
        if [name for name in os.listdir(".") if ".tmp" in name]:
            fail(f"ulimit -f: {' '.join(command)}: leaves {os.listdir('.')}")


def check(group):
    program, rows = GROUPS[group]

    def run():
        for arguments, code, prints, source in rows:
            check_command(program, arguments, code, prints, source)
    run.__name__ = "check_" + group
    return run


prepare()
checks.run([check(group) for group in GROUPS], sys.argv[5:])
