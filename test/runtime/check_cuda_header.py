"""Compares runtime/cuda/driver_api.h with the cuda.h of a toolkit: the type of
every function, the value of every constant, the layout of every structure.
usage: check_cuda_header.py OURS FOLDER-OF-CUDA.H CLANG++"""
import re
import subprocess
import sys

ours, folder, clang = sys.argv[1:]
with open(ours, encoding="utf-8") as file:
    text = re.sub(r"//.*", "", file.read())
# Enumerations that we have as plain numbers.
ENUMS = {("cuStreamBeginCapture_v2", "int"): "CUstreamCaptureMode",
         ("cuStreamIsCapturing", "int *"): "CUstreamCaptureStatus *"}

lines = ["#include <cuda.h>", "#include <cstddef>", "#include <type_traits>"]
functions = re.findall(r"^CUresult (\w+)\(([^)]*)\);", text, re.M)
for name, parameters in functions:
    types = []
    for parameter in filter(None, (p.strip() for p in parameters.split(","))):
        kind = re.fullmatch(r"(.*?)\w+", parameter, re.S).group(1).strip()
        types.append(ENUMS.get((name, kind), kind))
    lines.append(f"static_assert(std::is_same_v<decltype(&{name}), CUresult (*)({', '.join(types)})>, \"{name}\");")
constants = re.findall(r"\b(CU\w+) = (\d+)[,;]", text)
for name, value in constants:
    lines.append(f"static_assert({name} == {value}, \"{name}\");")
lines += ["namespace ours {"]
structures = re.findall(r"^struct (CU\w+) \{(.*?)^\};", text, re.M | re.S)
lines += [f"struct {name} {{{body}}};" for name, body in structures] + ["}"]
for name, body in structures:
    lines.append(f"static_assert(sizeof(ours::{name}) == sizeof({name}), \"{name}\");")
    outer = re.sub(r"\bunion \{.*?\};", "", body, flags=re.S)
    for members in re.findall(r"(\w[\w, *]*)(?:\[\d+\])?;", outer):
        for member in re.findall(r"(\w+)(?=,|$)", members.strip()):
            lines.append(f"static_assert(offsetof(ours::{name}, {member}) == offsetof({name}, {member}), \"{name}.{member}\");")
# What the patterns above no longer find would not be compared.
assert len(functions) > 50 and len(constants) > 60 and len(structures) == 2, (len(functions), len(constants), len(structures))
done = subprocess.run([clang, "-std=c++20", "-fsyntax-only", "-isystem", folder, "-x", "c++", "-"],
                      input="\n".join(lines) + "\n", text=True, check=False)
print(len(functions), "functions,", len(constants), "constants,", len(structures), "structures")
sys.exit(done.returncode)
