#!/usr/bin/env python3
"""What gemmac does to the places that outputs are named for: check_outputs.py
GEMMAC EXAMPLES WORK [CASE...]. WORK is an empty folder; every case runs in a
folder of its own, which holds `e`, a copy of the nano-e checkpoint. Nothing
outside is ever named but by links, so that a fault replaces a link."""
import json
import os
import re
import resource
import shutil
import socket
import stat
import struct
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools"))
import cases
from cases import case

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "gguf")
GEMMAC = ""


def gemmac(code, *args, words=(), prefix=(), program=None, **more):
    """Runs it on `e`, expects the exit code and words on standard error."""
    if args[0].startswith("-"):
        args = ("e", *args)
    done = subprocess.run([*prefix, program or GEMMAC, *args, "--target=x86-avx2"],
                          capture_output=True, timeout=300, **more)
    said = done.stderr.decode(errors="replace")
    assert done.returncode == code, "exit code %d, expects %d: %s" % (done.returncode, code, said)
    for word in words:
        assert word in said, "no '%s' in: %s" % (word, said)
    assert not re.search(r"\.tmp[0-9a-f]{4}", said), "names a temporary file: " + said
    return done.stdout


def text():
    return gemmac(0, "--compile-to=import", "-o", "-")


def contents(folder="."):
    return sorted(os.listdir(folder))


def kept(path, *args, words=("input and output are the same file",), **more):
    """An input that gemmac is asked to write stays as it was."""
    before = open(path, "rb").read()
    gemmac(2, *args, words=words, **more)
    assert open(path, "rb").read() == before, path + " has changed"


def reader(path):
    """Reads a pipe to its end, as another process would."""
    got = []
    thread = threading.Thread(target=lambda: got.append(open(path, "rb").read()), daemon=True)
    thread.start()
    return lambda: (thread.join(60), got[0])[1]


# Devices, pipes, sockets, and links to them.


@case
def text_into_a_pipe():
    os.mkfifo("pipe")
    os.symlink("pipe", "link")
    for name in ("pipe", "link"):
        received = reader("pipe")
        gemmac(0, "--compile-to=import", "-o", name)
        assert received() == text()
        assert stat.S_ISFIFO(os.lstat("pipe").st_mode) and os.path.islink("link")


@case
def code_into_a_pipe():
    os.mkfifo("pipe")
    received = reader("pipe")
    gemmac(0, "--emit=obj", "-o", "pipe")
    assert received().startswith(b"\x7fELF")


@case
def dumps_into_a_pipe():
    os.mkdir("d")
    os.mkfifo("d/import.mlir")
    received = reader("d/import.mlir")
    gemmac(0, "--compile-to=import", "-o", "x", "--dump-to=d")
    assert received() == text()


@case
def text_to_the_standard_output_by_name():
    os.symlink("/proc/self/fd/1", "stdout")
    assert gemmac(0, "--compile-to=import", "-o", "stdout") == text()
    with open("file", "wb") as file:
        subprocess.run([GEMMAC, "e", "--compile-to=import", "-o", "stdout"], stdout=file, check=True)
    assert open("file", "rb").read() == text()
    assert os.path.islink("stdout")


@case
def text_to_a_full_device():
    os.symlink("/dev/full", "full")
    gemmac(5, "--compile-to=import", "-o", "full", words=["cannot write to 'full'"])
    assert os.path.islink("full")


@case
def text_to_the_null_device():
    os.symlink("/dev/null", "null")
    gemmac(0, "--compile-to=import", "-o", "null")
    assert os.path.islink("null")


@case
def program_into_a_pipe():
    os.mkfifo("pipe")
    os.symlink("pipe", "link")
    for name in ("pipe", "link"):
        gemmac(2, "-o", name, words=["-o expects a regular file", "'%s'" % name])
    assert stat.S_ISFIFO(os.lstat("pipe").st_mode)
    assert contents() == ["e", "link", "pipe"]


@case
def program_into_another_device():
    os.symlink("/dev/zero", "zero")
    gemmac(2, "-o", "zero", words=["-o expects a regular file"])
    assert os.path.islink("zero")


@case
def socket_stays():
    server = socket.socket(socket.AF_UNIX)
    server.bind("socket")
    gemmac(2, "-o", "socket", words=["-o expects a regular file"])
    gemmac(5, "--compile-to=import", "-o", "socket", words=["cannot write 'socket'"])
    assert stat.S_ISSOCK(os.lstat("socket").st_mode)


@case
def program_is_discarded():
    os.symlink("/dev/null", "null")
    os.mkdir("tmp")
    for more in ([], ["--weights=external"]):
        gemmac(0, "-o", "null", *more, env={**os.environ, "TMPDIR": os.path.abspath("tmp")})
        assert os.path.islink("null")
        assert contents() == ["e", "null", "tmp"] and not contents("tmp")
    open("words", "w").write("Some words.")
    gemmac(2, "-o", "null", "--verify", "words", words=["--verify", "discards"])


@case
def discarded_program_is_checked():
    os.symlink("/dev/null", "null")
    data = open("e/model.safetensors", "rb").read()
    os.remove("e/model.safetensors")
    open("e/model.safetensors", "wb").write(data[:-1000])
    gemmac(3, "-o", "null", words=["truncated"])


@case
def links_to_files_stay_links():
    os.mkdir("there")
    open("there/p", "w").close()
    os.symlink("there/p", "p")
    gemmac(0, "-o", "p")
    assert os.path.islink("p") and contents("there") == ["p"]
    assert open("there/p", "rb").read(4) == b"\x7fELF"
    gemmac(0, "--compile-to=import", "-o", "p")
    assert os.path.islink("p") and open("there/p", "rb").read() == text()


# Inputs.


@case
def gguf_stays():
    shutil.copy(os.path.join(GOLDEN, "nano-e-Q4_0.gguf"), "m.gguf")
    os.symlink("m.gguf", "link")
    os.link("m.gguf", "other")
    for name in ("m.gguf", "./m.gguf", "link", "other", os.path.abspath("m.gguf")):
        for more in ([], ["--compile-to=import"], ["--emit=asm"]):
            kept("m.gguf", "m.gguf", "-o", name, *more)
    kept("m.gguf", "link", "-o", "m.gguf")
    kept("m.gguf", os.path.abspath("m.gguf"), "-o", "m.gguf")


@case
def files_of_the_folder_stay():
    for name in contents("e"):
        if name.endswith((".json", ".safetensors", ".jinja")):
            kept("e/" + name, "-o", "e/" + name)
            kept("e/" + name, "--compile-to=import", "-o", "e/" + name)
    os.chdir("e")
    kept("config.json", ".", "-o", "config.json", words=["input and output are the same file"])


@case
def linked_snapshots_stay():
    os.mkdir("blobs")
    os.rename("e/model.safetensors", "blobs/0123")
    os.symlink("../blobs/0123", "e/model.safetensors")
    kept("blobs/0123", "-o", "blobs/0123")


@case
def other_inputs_stay():
    open("map", "w").write("* q8\n")
    open("words", "w").write("Some words.")
    kept("map", "--quant-map=map", "-o", "map")
    kept("words", "--verify=words", "-o", "words")


@case
def dumps_do_not_replace_inputs():
    os.mkdir("d")
    os.link("e/config.json", "d/import.mlir")
    kept("e/config.json", "--compile-to=import", "-o", "x", "--dump-to=d")


@case
def weights_do_not_replace_inputs():
    shutil.copy(os.path.join(GOLDEN, "nano-e-Q4_0.gguf"), "m.gguf")
    os.symlink("m.gguf", "p.weights")
    kept("m.gguf", "m.gguf", "--weights=external", "-o", "p", words=["p.weights"])


# External weights.


@case
def weight_files_of_others_stay():
    open("p.weights", "w").write("mine")
    gemmac(2, "--weights=external", "-o", "p", words=["'", "p.weights' exists and is no weight file"])
    assert open("p.weights").read() == "mine" and contents() == ["e", "p.weights"]
    os.remove("p.weights")
    os.mkfifo("p.weights")
    gemmac(2, "--weights=external", "-o", "p", words=["p.weights' exists and is no weight file"])


@case
def own_weight_files_are_replaced():
    open("p.weights", "w").close()
    gemmac(0, "--weights=external", "-o", "p")
    first = os.stat("p.weights")
    assert first.st_size > 1000000
    gemmac(0, "--weights=external", "-o", "p")
    assert os.stat("p.weights").st_ino == first.st_ino, "not reused"
    gemmac(0, "--weights=external", "--quant=q8", "-o", "p")
    assert os.stat("p.weights").st_ino != first.st_ino


@case
def equal_times_do_not_hide_new_weights():
    """An image layer or an archive gives every checkpoint the same times."""
    def compile(*more):
        said = subprocess.run([GEMMAC, "e", "--weights=external", "-o", "p", "--target=x86-avx2", *more],
                              capture_output=True, check=True).stderr.decode()
        return "reused" in said

    def change(at):
        """Turns a bit of a value at `at` of an MLP's matrix; same size and time."""
        data = bytearray(open("e/model.safetensors", "rb").read())
        (length,) = struct.unpack("<Q", data[:8])
        up = json.loads(data[8 : 8 + length])["model.language_model.layers.1.mlp.up_proj.weight"]
        begin, end = up["data_offsets"]
        data[8 + length + begin + int((end - begin) * at) // 2 * 2] ^= 1
        open("e/model.safetensors", "r+b").write(data)
        os.utime("e/model.safetensors", ns=(0, 0))

    os.utime("e/model.safetensors", ns=(0, 0))
    assert not compile()
    assert compile() and compile("--rehash")
    change(0)
    assert not compile(), "the first value"
    change(0.5)  # the time of the change of the file's state shows it
    assert not compile(), "a value in the middle"
    assert compile("--rehash")
    gemmac(2, "--rehash", "-o", "q", words=["--rehash expects --weights=external"])


# Names, rights, messages.


@case
def temporary_names_are_not_foreseen():
    """Links where a program of any process id would put its files stay."""
    open("other", "w").write("mine")
    names = ["p%s.tmp%d" % (extra, n) for extra in ("", ".o", ".weights") for n in range(1, 5000)]
    for name in names:
        os.symlink("other", name)
    process = subprocess.Popen([GEMMAC, "e", "-q", "-o", "p", "--weights=external", "--target=x86-avx2"])
    for extra in ("", ".o", ".weights"):
        if not os.path.lexists("p%s.tmp%d" % (extra, process.pid)):
            os.symlink("other", "p%s.tmp%d" % (extra, process.pid))
    assert process.wait() == 0
    assert open("other").read() == "mine" and not os.path.islink("p")


@case
def few_threads_will_do():
    """No more processes are allowed than there are (root may have any number)."""
    def limit():
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))

    os.mkdir("o")
    os.chmod("o", 0o777)
    probe = subprocess.run(["ls", "e/config.json", GEMMAC], preexec_fn=limit, capture_output=True)
    if probe.returncode:
        print("few_threads_will_do: nobody may read this folder", file=sys.stderr)
        return
    gemmac(0, "-j4", "-o", "o/p", preexec_fn=limit)
    assert open("o/p", "rb").read(4) == b"\x7fELF"
    gemmac(0, "-j4", "-o", "q")
    assert open("o/p", "rb").read() == open("q", "rb").read()




@case
def rights_are_the_umask_s():
    for mask, program, other in ((0o077, 0o700, 0o600), (0o002, 0o775, 0o664)):
        shell = ["sh", "-c", "umask %o; exec \"$@\"" % mask, "sh"]
        gemmac(0, "--weights=external", "-o", "p", prefix=shell)
        gemmac(0, "--compile-to=import", "-o", "t", prefix=shell)
        got = [stat.S_IMODE(os.stat(name).st_mode) for name in ("p", "p.weights", "t")]
        assert got == [program, other & 0o444, other], [oct(m) for m in got]
        os.remove("p"), os.remove("p.weights"), os.remove("t")


@case
def names_that_look_like_flags():
    gemmac(0, "-o", "-x")
    gemmac(0, "--compile-to=import", "-o", "-y")
    assert contents() == ["-x", "-y", "e"]


@case
def messages_name_what_the_user_named():
    for more in ([], ["--compile-to=import"], ["--emit=asm"]):
        gemmac(5, "-o", "absent/x", *more, words=["'absent/x'"])
    gemmac(2, "-o", "e", words=["got the folder 'e'"])


# What can be checked at once is checked before anything is compiled.


@case
def runtime_is_looked_for_first():
    os.makedirs("p/bin")
    shutil.copy(GEMMAC, "p/bin/gemmac")
    gemmac(4, "-o", "x", "--dump-to=d", program=os.path.abspath("p/bin/gemmac"),
           words=["no runtime for 'x86_64'", "rcrt1.o"])
    assert contents() == ["e", "p"] or not contents("d")


@case
def tokenizer_is_read_first():
    os.remove("e/tokenizer.json")
    open("e/tokenizer.json", "w").write("{")
    gemmac(3, "-o", "x", "--dump-to=d", words=["tokenizer.json"])
    assert not contents("d")
    os.remove("e/tokenizer.json")
    open("words", "w").write("Some words.")
    gemmac(4, "-o", "x", "--dump-to=d", "--verify=words", words=["no tokenizer"])
    assert not contents("d")


if __name__ == "__main__":
    GEMMAC = shutil.which(sys.argv[1])
    examples, work = (os.path.abspath(a) for a in sys.argv[2:4])
    cases.run(work, sys.argv[4:], lambda: shutil.copytree(examples + "/nano-e", "e"))
