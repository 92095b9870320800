#!/usr/bin/env python3
"""The command lines of gemmac and gemma-kernels, and what gemmac calls a model:
check_command_line.py SOURCE WORK [CASE...]. The programs are on PATH, WORK is
an empty folder; every case runs in a folder of its own."""
import os
import pty
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools"))
import cases
from cases import case

EXAMPLES = GOLDEN = ""


def run(code, *args, out=(), err=(), **more):
    more.setdefault("capture_output", True)
    done = subprocess.run(args, timeout=300, **more)
    said = (done.stderr or b"").decode()
    text = (done.stdout or b"").decode(errors="replace")
    assert done.returncode == code, "exit code %d, expects %d: %s" % (done.returncode, code, said)
    for word in out:
        assert word in text, "no '%s' in: %s" % (word, text)
    for word in err:
        assert word in said, "no '%s' in: %s" % (word, said)
    return text


def error(message, *args, program="gemmac", code=2):
    """One line, of one form, and nothing else."""
    done = subprocess.run([program, *args], capture_output=True, timeout=60)
    said = done.stderr.decode()
    assert done.returncode == code, "exit code %d: %s" % (done.returncode, said)
    assert said == "%s: error: %s\n" % (program, message), said
    assert not done.stdout


def compiled(*args, **more):
    run(0, "gemmac", "-q", "--target=x86-avx2", *args, **more)


@case
def values_that_are_not_expected():
    error("--quant expects auto, none, f32, bf16, q8, q4, got 'q5'", "e", "--quant=q5")
    error("--quant expects auto, none, f32, bf16, q8, q4, got 'q5'", "e", "--quant", "q5")
    error("--compile-to expects import, optimize, select, plan, native, got 'x'", "e", "--compile-to=x")
    error("--threads expects an integer from 0 to 1024, got 'x'", "e", "-jx")
    error("--threads expects an integer from 0 to 1024, got '1025'", "e", "--threads=1025")
    error("--quant expects a value, got none", "e", "--quant")
    error("-o expects a value, got none", "e", "-o")
    error("-j expects a value, got none", "e", "-qj")
    error("--target expects one of: x86-avx512 x86-avx2 arm-neon cuda-sm80 cuda-sm90 host, got 'x'", "e", "--target=x")


@case
def flags_that_are_meant():
    for given, flag, meant in (("--quat=q4", "--quat", "quant"), ("-quant", "-quant", "quant"),
                               ("-quant=q4", "-quant", "quant"), ("-quat", "-quat", "quant"),
                               ("-target=host", "-target", "target"), ("-output", "-output", "output"),
                               ("--treads", "--treads", "threads"), ("--compileto=plan", "--compileto", "compile-to")):
        error("unknown flag '%s': did you mean --%s?; see gemmac --help" % (flag, meant), "e", given, "q4")
    error("unknown flag '--no-such-flag'; see gemmac --help", "e", "--no-such-flag")
    error("unknown flag '-x'; see gemmac --help", "e", "-x")


@case
def arguments_that_do_not_fit():
    error("a checkpoint is expected: a folder or a GGUF file; see gemmac --help")
    error("unexpected argument 'b'; see gemmac --help", "a", "b")
    error("--compile-to and --emit exclude each other; see gemmac --help",
          "e", "--compile-to=plan", "--emit=asm")


@case
def short_flags_in_one_word():
    compiled(EXAMPLES + "/nano-e", "--compile-to=import", "-qj2", "-ox")
    assert os.listdir(".") == ["x"]


@case
def last_flag_wins():
    text = run(0, "gemmac", EXAMPLES + "/nano-e", "--target=no-such", "--compile-to=plan", "--target=arm-neon",
               "--compile-to=select", "-q", "-q")
    assert 'kernel.target = "arm-neon"' in text and "kernel.memory" not in text


@case
def arguments_from_a_file():
    with open("args", "w") as file:
        file.write('--target=arm-neon\n--compile-to select -o "a b"\n')
    run(0, "gemmac", EXAMPLES + "/nano-e", "@args")
    assert os.path.exists("a b")


@case
def help_fits():
    for program in ("gemmac", "gemma-kernels"):
        text = run(0, program, "--help")
        wide = [line for line in text.split("\n") if len(line) > 80]
        assert not wide, wide
        assert not re.search(r"\b\w+-\n", text)
    text = run(0, "gemmac", "--help", out=["--verify FILE", "bf16 rounds", "@FILE", "--compile-from"])


@case
def lost_output_is_an_error():
    for program, flag in (("gemmac", "--help"), ("gemmac", "--version"), ("gemmac", "--list-targets"),
                          ("gemma-kernels", "--help"), ("gemma-kernels", "--version"), ("gemma-kernels", "--list")):
        with open("/dev/full", "w") as full:
            run(5, program, flag, stdout=full, stderr=subprocess.PIPE, capture_output=False,
                err=[program + ": error: cannot write to the standard output"])
        run(0, program, flag)


@case
def version_says_what_is_inside():
    for program in ("gemmac", "gemma-kernels"):
        text = run(0, program, "--version")
        assert re.fullmatch(program + r""" \d+\.\d+\.\d+( \([0-9a-f]+(-dirty)?\))?
LLVM 22\.\d+\.\d+, Halide \d+\.\d+\.\d+
host: [a-z0-9 -]+
targets: x86-avx512 x86-avx2 arm-neon cuda-sm80 cuda-sm90
program files: version \d+
""", text), text


# What the checkpoint is called, and what is there instead of one.


def name_of(program):
    return re.fullmatch(r"(.*) for x86-avx2, made by gemmac .*\n", run(0, program, "--version")).group(1)


@case
def names_of_models():
    shutil.copytree(EXAMPLES + "/nano-e", "e")
    os.makedirs("models--google--nano-e-it/snapshots")
    os.symlink(os.path.abspath("e"), "link")
    shutil.copytree("e", "models--google--nano-e-it/snapshots/3f1b2c")
    for path, name in (("models--google--nano-e-it/snapshots/3f1b2c", "nano-e-it"), ("e", "e"), ("e/", "e"),
                       ("./e/.", "e"), ("link", "e")):
        compiled(path, "-o", "p")
        assert name_of("./p") == name, name_of("./p")
    compiled("e", "-o", "p", "--name=My model")
    assert name_of("./p") == "My model"
    compiled(".", cwd="e")
    assert name_of("e/e") == "e"
    shutil.copy(GOLDEN + "/nano-e-Q4_0.gguf", "tiny-Q4-00001-of-00001.gguf")
    compiled("tiny-Q4-00001-of-00001.gguf", "-o", "p")
    assert name_of("./p") == "Nano E"


@case
def default_output():
    shutil.copytree(EXAMPLES + "/nano-e", "models/My-e")
    compiled("models/My-e")
    assert sorted(os.listdir(".")) == ["My-e", "models"]
    compiled("models/My-e", "--emit=asm")
    assert sorted(os.listdir(".")) == ["My-e", "My-e.s", "models"]
    os.remove("My-e")
    shutil.copy(GOLDEN + "/nano-e-Q4_0.gguf", "models/tiny-Q4.gguf")
    compiled("models/tiny-Q4.gguf")
    assert os.access("tiny-Q4", os.X_OK)
    run(2, "gemmac", "My-e", cwd="models", err=["-o expects a file name, got the folder 'My-e'"])


@case
def what_is_no_checkpoint():
    os.makedirs("hub")
    shutil.copy(GOLDEN + "/nano-e-Q4_0.gguf", "hub/nano-e-Q4_0.gguf")
    error("hub: has no config.json, but it holds 'nano-e-Q4_0.gguf', which is a model of its own: pass that file, not the folder", "hub", "-o", "x", code=3)
    shutil.copy(GOLDEN + "/nano-e-Q4_0.gguf", "hub/nano-e-Q8_0.gguf")
    error("hub: has no config.json, but it holds 'nano-e-Q4_0.gguf' (and 1 more such), which is a model of its own: pass that file, not the folder",
          "hub", "-o", "x", code=3)
    shutil.copytree(EXAMPLES + "/nano-e", "e")
    for file in ("model.safetensors", "config.json"):
        error("'e/%s' is a file of a checkpoint: expects its folder, pass 'e'" % file, "e/" + file, "-o", "x", code=3)


@case
def no_chat_template():
    shutil.copytree(EXAMPLES + "/nano-e", "e")
    run(0, "gemmac", "e", "-o", "p", "--target=x86-avx2")
    os.remove("e/chat_template.jinja")
    run(0, "gemmac", "e", "-o", "p", "--target=x86-avx2",
        err=["warning: 'e' has no chat template: the program speaks the small form"])
    run(0, "gemmac", "e", "-o", "p", "--target=x86-avx2", "--chat-template=large", "--remarks",
        err=["remark: no chat template, protocol large"])


@case
def chat_templates():
    """One that is known by all that counts in it; one that is not, and what it is taken for."""
    shutil.copytree(EXAMPLES + "/nano-e", "e")
    with open("e/chat_template.jinja") as file:
        text = file.read()

    def compiled_with(text, *args, **more):
        with open("e/chat_template.jinja", "w", newline="") as file:
            file.write(text)
        run(0, "gemmac", "e", "-o", "p", "--target=x86-avx2", "--remarks", *args, **more)

    known = "chat template in chat_template.jinja: Google's of 2026-07-09, small"
    compiled_with("{# ours #}\n" + text.replace("\n", "\r\n"), err=["remark: %s, protocol small" % known])
    run(0, "./p", "info", out=["small; " + known])
    unknown = "{{ '<|turn>model' }}<turn|>{{ '<|channel>thought\\n<channel|>' }}"
    compiled_with(unknown, err=["is not a known one: it writes an empty thought where thinking is off, so the program "
                                "speaks the large form of 2026-07-09; --chat-template=small, large or none decides"])
    run(0, "./p", "info", out=["large; chat template in chat_template.jinja: an unknown one (sha256 "])
    # Nothing is said of what the flag decides.
    compiled_with(unknown, "--chat-template=small", err=["an unknown one (sha256 "])
    with open("e/chat_template.jinja", "w") as file:
        file.write(unknown)
    done = subprocess.run(["gemmac", "-q", "e", "-o", "p", "--target=x86-avx2", "--chat-template=small"], capture_output=True)
    assert done.returncode == 0 and b"not a known one" not in done.stderr, done.stderr


# What is said while it works.


@case
def time_report():
    done = subprocess.run(["gemmac", EXAMPLES + "/nano-e", "-o", "p", "--target=x86-avx2", "-q", "-v", "--time-report"],
                          capture_output=True, text=True)
    for phase in ("read", "stage plan", "kernels", "segments", "link and pack"):
        assert re.search(r"gemmac: +[0-9.]+ s: %s\n" % phase, done.stderr), done.stderr
        assert re.search(r"gemmac: +[0-9.]+ s +[0-9.]+ %% +%s\n" % phase, done.stderr), done.stderr
    assert re.search(r"gemmac: +[0-9.]+ s +in all\n", done.stderr)


@case
def kernels_are_counted_on_a_terminal():
    def errors(*args):
        ours, theirs = pty.openpty()
        process = subprocess.Popen(["gemmac", EXAMPLES + "/nano-e", "-o", "p", "--target=x86-avx2", *args],
                                   stderr=theirs)
        os.close(theirs)
        text = b""
        try:
            while part := os.read(ours, 4096):
                text += part
        except OSError:
            pass
        assert process.wait() == 0
        return text.decode()

    text = errors()
    counts = re.findall(r"compiling kernels (\d+) of (\d+)", text)
    assert [int(a) for a, b in counts] == list(range(1, int(counts[0][1]) + 1)), counts
    assert "compiling" not in errors("-q")
    done = subprocess.run(["gemmac", EXAMPLES + "/nano-e", "-o", "p", "--target=x86-avx2"], capture_output=True)
    assert b"compiling" not in done.stderr


@case
def symbols_and_dumps():
    compiled(EXAMPLES + "/nano-e", "-o", "p", "--symbols", "--dump-to=d")
    names = {os.path.splitext(name)[0] for name in os.listdir("d") if not name.endswith(".mlir")}
    assert len(names) > 10
    assert {n + ".ll" for n in names} | {n + ".s" for n in names} <= set(os.listdir("d"))
    kernel = next(n for n in names if n.startswith("linear"))
    assert "define" in open("d/%s.ll" % kernel).read()
    held = open("p", "rb").read()
    assert kernel.encode() + b"\0" in held
    compiled(EXAMPLES + "/nano-e", "-o", "q")
    assert kernel.encode() + b"\0" not in open("q", "rb").read()


if __name__ == "__main__":
    source, work = (os.path.abspath(a) for a in sys.argv[1:3])
    EXAMPLES, GOLDEN = source + "/examples", source + "/test/golden/gguf"
    cases.run(work, sys.argv[3:])
