"""Checks which folder includes which: include_rules.py ROOT. Prints each
include that is not allowed and exits 1 if there is one."""
import os
import re
import sys

# What compiler and runtime share.
CONTRACTS = ["runtime/abi.h", "runtime/file.h", "runtime/manifest_generated.h",
             "runtime/tokenizer_blob.h"]
# Folder -> our own folders (or files) that it may include besides itself, and
# which of the big libraries it may know.
RULES = {
    "support": ([], ["fmt"]),
    "dialects": (["targets"], ["mlir", "llvm"]),
    "targets": ([], []),
    "passes": (["dialects", "targets"], ["mlir", "llvm"]),
    "codegen/kernels": (["targets", "codegen", "runtime/abi.h"], ["halide"]),
    "codegen": (["passes", "dialects", "targets"] + CONTRACTS,
                ["mlir", "llvm", "lld", "halide", "flatbuffers"]),
    "compiler": (["codegen", "passes", "dialects", "targets"] + CONTRACTS,
                 ["mlir", "llvm", "lld", "flatbuffers", "nlohmann", "CLI", "fmt"]),
    "runtime": ([], ["flatbuffers", "nlohmann", "boost"]),
}
# The files and folders of the runtime that know a library.
ALONE = {"nlohmann": ("runtime/app/json_value.cpp", "runtime/serve/json_body.h"), "boost": ("runtime/serve/asio.h",),
         "seccomp.h": ("runtime/serve/sandbox.cpp",)}
# Files of another layer: the lists of arrays and segments and gm_ctx, which
# calls are lowered to, and the sizes of cache pages; whether a target runs here
# is asked, and what the machine has and how fast it is, as programs do; pages of flags are
# written as theirs.
EXTRA = {"passes": ["runtime/abi.h", "runtime/file.h"],
         "targets": ["runtime/abi.h", "runtime/host/features.h"],
         "compiler": ["runtime/gemma.h", "runtime/host/features.h", "runtime/host/probe.h",
                      "runtime/app/pages.h"]}
OURS = ("support", "dialects", "targets", "passes", "codegen", "compiler", "runtime", "test")
# Layers of a folder that know nothing else of it but these.
APART = {"runtime/media/": ("runtime/media/", "runtime/gemma.h"),  # Status
         "runtime/grammar/": ("runtime/grammar/", "runtime/gemma.h", "runtime/app/constraint.h", "runtime/app/tokenizer.h",
                              "runtime/app/tool_text.h", "runtime/app/unicode.h")}
# The scheduler knows ids and soft rows, no text, no requests.
SCHEDULER = [f"runtime/serve/{name}" for name in ("batch", "prefix", "scheduler", "slot_tasks", "steps", "work")]
APART |= {path: (*SCHEDULER, "runtime/app/constraint.h", "runtime/app/draw.h", "runtime/app/items.h", "runtime/app/pace.h",
                 "runtime/app/program.h", "runtime/app/slot_file.h", "runtime/abi.h", "runtime/gemma.h", "runtime/host/clock.h",
                 "runtime/manifest_generated.h")
          for path in SCHEDULER}
# Layers that do not know these, which stand above them.
BELOW = {layer: ("runtime/app/", "runtime/serve/", "runtime/lib/")
         for layer in ("runtime/core/", "runtime/host/", "runtime/cpu/", "runtime/cuda/")}
BELOW |= {"runtime/app/": ("runtime/serve/", "runtime/lib/"), "runtime/serve/": ("runtime/lib/",)}
LIBRARIES = {"mlir": "mlir", "mlir-c": "mlir", "llvm": "llvm", "llvm-c": "llvm", "lld": "lld",
             "Halide.h": "halide", "HalideRuntime.h": "halide", "flatbuffers": "flatbuffers",
             "nlohmann": "nlohmann", "CLI": "CLI", "fmt": "fmt", "boost": "boost"}
# What decodes pictures and sounds: a codec's folder or header -> the files that know it.
CODECS = {"png.h": "decode_png", "zlib.h": "decode_png", "jpeglib.h": "decode_jpeg", "jerror.h": "decode_jpeg", "gif_lib.h": "decode_gif",
          "webp": "decode_webp", "vorbis": "decode_vorbis", "ogg": "decode_vorbis", "miniaudio.h": "decode_flac_mp3"}
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')


def allowed(folder, name):
    own, libraries = RULES[folder]
    first = name.split("/")[0]
    if first in LIBRARIES:
        return LIBRARIES[first] in libraries
    if first not in OURS or "/" not in name:
        return True  # the standard library, or a file beside this one
    if name == folder or name.startswith(folder.split("/")[0] + "/"):
        return True
    if first == "support" and folder != "runtime":
        return True  # it stands below every folder of the compiler
    return any(name == path or name.startswith(path + "/")
               for path in own + EXTRA.get(folder, []))


def knows(path, name):
    """Whether a layer that stands apart may include `name`."""
    alone = ALONE.get(name.split("/")[0])
    if alone and path.startswith("runtime/"):
        return path.startswith(alone)
    codec = CODECS.get(name.split("/")[0])
    if codec:
        return path == f"runtime/media/{codec}.cpp"
    if any(path.startswith(layer) and name.startswith(above) for layer, above in BELOW.items()):
        return False
    return all("/" not in name or name.startswith(others)
               for layer, others in APART.items() if path.startswith(layer))


def main(root):
    bad = 0
    for folder in RULES:
        for where, dirs, files in os.walk(os.path.join(root, folder)):
            for name in sorted(files):
                path = os.path.relpath(os.path.join(where, name), root)
                if not name.endswith((".cpp", ".h", ".c", ".td")):
                    continue
                if folder == "codegen" and path.startswith("codegen/kernels/"):
                    continue  # has rules of its own
                with open(os.path.join(where, name), encoding="utf-8") as text:
                    for number, line in enumerate(text, 1):
                        match = INCLUDE.match(line)
                        if match and not (allowed(folder, match.group(1)) and knows(path, match.group(1))):
                            bad += 1
                            print(f"{path}:{number}: {folder} may not include {match.group(1)}")
    return 1 if bad else 0


sys.exit(main(sys.argv[1]))
