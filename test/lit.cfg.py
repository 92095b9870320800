# lit tests: files *.mlir and *.test, RUN lines for lit's own shell (pipes,
# redirections, && and ||; what needs more is a script). The tools of the build
# (gemma-opt, gemmac, ...) and of LLVM (FileCheck, not, split-file, count) are on
# PATH; %python is Python 3, %src the repository, %inputs test/Inputs.
import ctypes
import os
import shutil
import subprocess
import sys

import lit.formats

config.name = "gemmac"
config.suffixes = [".mlir", ".test"]
config.excludes = ["Inputs", "CMakeLists.txt"]
config.test_format = lit.formats.ShTest(execute_external=False)
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(config.build_root, "test")

config.environment["PATH"] = os.pathsep.join(
    [os.path.join(config.build_root, "bin"), config.llvm_tools, os.environ.get("PATH", "")])
config.environment["LC_ALL"] = "C.UTF-8"

python = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
inputs = os.path.join(config.source_root, "test", "Inputs")
config.substitutions += [
    ("%python", python),
    ("%src", config.source_root),
    ("%build", config.build_root),
    ("%inputs", inputs),
    ("%archives", " ".join(config.archives)), # that programs carry
    ("%arm-archives", " ".join(config.arm_archives)),
    ("%program", f"{python} {config.source_root}/test/tools/program.py {config.build_root}"), # as gemmac -q
    ("%exits", f"{python} {inputs}/exits.py"), # %exits CODE COMMAND...
]

# What this machine can run; a test that needs more is unsupported, not passed.
gemmac = os.path.join(config.build_root, "bin", "gemmac")
if os.path.exists(gemmac):
    for line in subprocess.check_output([gemmac, "--list-targets"], text=True).splitlines():
        if line.endswith(("[host]", "[runs here]")):
            config.available_features.add(line.split()[0])
for tool in ("qemu-aarch64", "qemu-x86_64"):
    if shutil.which(tool):
        config.available_features.add(tool)
# Programs for NVIDIA cards run by the emulated driver (test/cuda): %emulated
# PROGRAM, or %emulated GM_CUDA_SEED=7 PROGRAM (settings: test/cuda/settings.cpp).
emulator = os.path.join(config.build_root, "lib", "cuda-emulator")
if os.path.exists(os.path.join(emulator, "libcuda.so.1")) and "x86-avx2" in config.available_features:
    config.available_features.add("cuda-emulator")
    config.substitutions.append(("%emulated", f"env LD_LIBRARY_PATH={emulator}"))
try:
    ctypes.CDLL("libcuda.so.1")
except OSError:
    config.available_features.add("no-cuda-driver")
if shutil.which("chromium-headless-shell"):
    config.available_features.add("chromium")
if shutil.which("cpack") and shutil.which("dpkg-deb"):
    config.available_features.add("dpkg")
if shutil.which("clang-format-22"):
    config.available_features.add("clang-format")
if shutil.which("git") and os.path.exists(os.path.join(config.source_root, ".git")):
    config.available_features.add("git")
# NVIDIA's assembler and disassembler, which ./bootstrap fetches for tests.
cuda_tools = os.path.join(config.source_root, ".deps", "cuda-tools", "bin")
for tool in ("ptxas", "nvdisasm"):
    if os.path.exists(os.path.join(cuda_tools, tool)):
        config.available_features.add(tool)
        config.substitutions.append((f"%{tool}", os.path.join(cuda_tools, tool)))
if subprocess.run([python, "-c", "import jsonschema"], capture_output=True).returncode == 0:
    config.available_features.add("python-jsonschema")
for folder in (os.environ.get("CUDA_HOME", "/usr/local/cuda") + "/include", "/usr/include"):
    if os.path.exists(folder + "/cuda.h"): # no part of the build
        config.available_features.add("cuda-header")
        config.substitutions.append(("%cuda-header", folder))
        break
if os.environ.get("GEMMAC_FULL") == "1":
    config.available_features.add("full") # check-full: minutes, not seconds
for name in ("GEMMAC_FULL", "HOME", "SEED"): # SEED: other mutants of the fuzzers
    if name in os.environ:
        config.environment[name] = os.environ[name]
