#!/usr/bin/env python3
"""What `gemmac doctor` finds on this machine and on machines that lack things:
check_doctor.py BUILD WORK [CASE...]. WORK is an empty folder; every case runs in
a folder of its own."""
import json
import os
import resource
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools"))
import cases
from cases import case

BUILD = ""


def doctor(code, *args, program=None, before=(), **more):
    """Both forms, which must agree; gives the JSON."""
    command = [*before, program or BUILD + "/bin/gemmac", "doctor", *args]
    text = subprocess.run(command, capture_output=True, text=True, timeout=120, **more)
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=120, **more)
    for run in (text, done):
        assert run.returncode == code, "exit code %d, expects %d: %s" % (run.returncode, code, run.stdout + run.stderr)
    found = json.loads(done.stdout)
    assert found["works"] == (code == 0)
    words = " ".join(text.stdout.split())
    for check in found["checks"]:
        assert "%s %s" % (check["name"], check["state"]) in words, check
        assert " ".join(check["advice"].split()) in words, check
    for target in found["targets"]:
        assert target["name"] in words
    return found


def check_of(found, name):
    return next(check for check in found["checks"] if check["name"] == name)


def expect(found, name, state, *words):
    check = check_of(found, name)
    assert check["state"] == state, check
    for word in words:
        assert word in check["found"] + check["advice"], (word, check)
    assert state == "ok" or check["found"], check


@case
def agrees_with_list_targets():
    found = doctor(0)
    lines = subprocess.check_output([BUILD + "/bin/gemmac", "--list-targets"], text=True).splitlines()
    assert [t["name"] for t in found["targets"]] == [line.split()[0] for line in lines]
    for target, line in zip(found["targets"], lines):
        assert target["host"] == line.endswith("[host]"), target
        if line.endswith(("[host]", "[runs here]")):
            assert target["runs"] and not target["cannot_run"] and not target["lacks"], target
        elif not target["runs"]:
            assert target["cannot_run"], target
        assert target["makes"] and not target["cannot_make"], target
    expect(found, "host", "ok", next(t["name"] for t in found["targets"] if t["host"]))
    expect(found, "runtimes", "ok", "x86_64, aarch64, x86_64-cuda", BUILD + "/lib/gemmac")
    expect(found, "libraries", "ok", "libLLVM.so", "libMLIR.so", "libHalide.so")
    expect(found, "memory", "ok", "GB available")
    expect(found, "output", "ok", os.getcwd())


@case
def a_machine_that_is_no_target():
    if not shutil.which("qemu-x86_64"):
        return
    found = doctor(6, before=["qemu-x86_64", "-cpu", "Nehalem"])
    expect(found, "host", "broken", "x86-avx2", "this CPU lacks", "avx2", "--target")
    avx2 = next(t for t in found["targets"] if t["name"] == "x86-avx2")
    assert avx2["makes"] and not avx2["runs"] and "avx2" in avx2["lacks"] and "sse4.2" not in avx2["lacks"], avx2


@case
def files_that_are_not_there():
    os.makedirs("p/bin")
    os.makedirs("p/lib")
    shutil.copy(BUILD + "/bin/gemmac", "p/bin/gemmac")
    folder = os.path.abspath("p/lib/gemmac")
    expect(doctor(6, program="p/bin/gemmac"), "runtimes", "broken", folder + "/x86_64/", "reinstall")
    shutil.copytree(BUILD + "/lib/gemmac/x86_64", folder + "/x86_64")
    found = doctor(0, program="p/bin/gemmac")
    expect(found, "runtimes", "missing", folder + "/aarch64/", "reinstall")
    makes = {t["name"]: t["makes"] for t in found["targets"]}
    assert makes["x86-avx2"] and not makes["arm-neon"] and not makes["cuda-sm80"], makes
    for name in "aarch64", "x86_64-cuda", "aarch64-lib", "x86_64-cuda-lib":
        shutil.copytree(BUILD + "/lib/gemmac/" + name, folder + "/" + name)
    found = doctor(0, program="p/bin/gemmac")
    expect(found, "runtimes", "missing", "no libraries", folder + "/x86_64-lib/", "reinstall")
    assert all(t["makes"] for t in found["targets"]), found


@case
def where_programs_go():
    os.mkdir("there")
    for output in ("there/p", "there"):
        expect(doctor(0, "-o", output), "output", "ok", os.path.abspath("there"))
    expect(doctor(6, "-o", "nowhere/p"), "output", "broken", "nowhere", "No such file", "-o")
    expect(doctor(6, "-o", "/proc/p"), "output", "broken", "0.0 GB free", "free space")


@case
def little_memory():
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (700 << 20, 700 << 20))
    expect(doctor(0, preexec_fn=limit), "memory", "missing", "ulimit -v")


@case
def tools_that_some_want():
    os.mkdir("bin")
    bare = {"PATH": os.path.abspath("bin")}
    found = doctor(0, env=bare)
    expect(found, "qemu-aarch64", "missing", "apt install qemu-user", "arm-neon")
    neon = next(t for t in found["targets"] if t["name"] == "arm-neon")
    assert not neon["runs"] and not neon["runs_by"] and neon["cannot_run"] == "this machine is x86_64", neon
    for name, text in (("qemu-aarch64", ""), ("ptxas", "echo ptxas: NVIDIA Ptx assembler, release 13.0, V13.0.88\n")):
        with open("bin/" + name, "w") as file:
            file.write("#!/bin/sh\n" + text)
        os.chmod("bin/" + name, 0o755)
    found = doctor(0, env=bare)
    expect(found, "qemu-aarch64", "ok", os.path.abspath("bin/qemu-aarch64"))
    assert next(t for t in found["targets"] if t["name"] == "arm-neon")["runs_by"] == os.path.abspath("bin/qemu-aarch64")
    expect(found, "ptxas", "ok", os.path.abspath("bin/ptxas"), "13.0.88")
    with open("bin/ptxas", "w") as file:
        file.write("#!/bin/sh\necho something else\n")
    expect(doctor(0, env=bare), "ptxas", "missing", "does not say that it is one")


@case
def cards():
    emulator = BUILD + "/lib/cuda-emulator"
    if not os.path.exists(emulator + "/libcuda.so.1"):
        return

    def with_card(**settings):
        found = doctor(0, env={"LD_LIBRARY_PATH": emulator, **settings})
        return found, {t["name"]: t for t in found["targets"]}
    found, targets = with_card()
    expect(found, "cards", "ok", "compute capability", "driver of CUDA")
    assert targets["cuda-sm80"]["runs"]
    found, targets = with_card(GM_CUDA_SM="80")
    assert targets["cuda-sm80"]["runs"] and not targets["cuda-sm90"]["runs"], targets
    assert "compute capability 8.0, needed is 9.0" in targets["cuda-sm90"]["cannot_run"], targets
    found, targets = with_card(GM_CUDA_SM="90", GM_CUDA_DRIVER="11040")
    assert targets["cuda-sm80"]["runs"] and not targets["cuda-sm90"]["runs"], targets
    assert targets["cuda-sm90"]["cannot_run"] == "the driver is of CUDA 11.4, needed is 12.0", targets
    found, targets = with_card(GM_CUDA_DEVICES="0")
    expect(found, "cards", "missing", "no NVIDIA card")
    assert not targets["cuda-sm80"]["runs"], targets
    os.mkdir("old")
    with open("old/libcuda.so.1", "w") as file:
        file.write("no library")
    found = doctor(0, env={"LD_LIBRARY_PATH": os.path.abspath("old")})
    expect(found, "cards", "missing", "libcuda.so.1", "install the driver")


@case
def usage():
    for args, said in ((["x"], "unexpected argument 'x'"), (["--jsn"], "did you mean --json?")):
        done = subprocess.run([BUILD + "/bin/gemmac", "doctor", *args], capture_output=True, text=True)
        assert done.returncode == 2 and said in done.stderr and "gemmac doctor" in done.stderr, done.stderr
    with open("/dev/full", "w") as full:
        assert subprocess.run([BUILD + "/bin/gemmac", "doctor"], stdout=full, stderr=subprocess.PIPE).returncode == 5


if __name__ == "__main__":
    build, work = (os.path.abspath(a) for a in sys.argv[1:3])
    BUILD = build
    cases.run(work, sys.argv[3:])
