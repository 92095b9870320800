"""Checks --emit=lib and --emit=static-lib: check_library.py SOURCES FOLDER
[arm-neon]. FOLDER has the program `nano` of examples/nano-e for the same
target."""
import json
import os
import re
import shutil
import subprocess
import sys

SRC, FOLDER = sys.argv[1:3]
ARM = "arm-neon" in sys.argv
TARGET = "arm-neon" if ARM else "x86-avx2"
CC = ["clang-22", "--target=aarch64-linux-gnu", "-fuse-ld=lld"] if ARM else ["clang-22"]
RUN = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"] if ARM else []
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"]
CALLS, EMBED = f"{SRC}/test/compiler/Inputs/library_calls.c", f"{SRC}/examples/embed"
QUESTION, ANSWER = "What is the capital of France?", "The capital of France is Paris.\n"
os.chdir(FOLDER)
bad = 0


def wrong(*words):
    global bad
    bad += 1
    print(*words)


def run(*command, code=0, **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, **more)
    if done.returncode != code:
        wrong(" ".join(command), "gives", done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    return done


def gemmac(*flags, code=0, model="nano-e", target=TARGET):
    return run("gemmac", f"{SRC}/examples/{model}", "-q", f"--target={target}", *flags, code=code).stderr


def expect(what, got, wanted):
    if got != wanted:
        wrong(f"{what}: expected {wanted!r}, got {got!r}")


def says(what, text, part):
    if part not in text:
        wrong(f"{what}: expected '{part}' in: {text}")


# The program's own answer.
program = ["qemu-aarch64", "./nano"] if ARM else ["./nano"]
IDS = run(*program, "run", "--print-tokens", "--temp", "0", QUESTION).stdout.split()
if len(IDS) < 5:
    wrong("the program's answer has no ids", IDS)


def check_build(folder, weights):
    """Builds against a library as pkg-config says, and runs right and wrong calls."""
    env = dict(os.environ, PKG_CONFIG_PATH=f"{folder}/lib/pkgconfig")
    flags = run("pkg-config", "--cflags", "--libs", "gemma", env=env).stdout.split()
    rpath = [] if weights else [f"-Wl,-rpath,{os.path.abspath(folder)}/lib"]
    place = [weights] if weights else []
    for source, name in ((CALLS, "calls"), (f"{EMBED}/embed.c", "embed")):
        run(*CC, *FLAGS, source, *flags, "-pthread", *rpath, "-o", f"{folder}/{name}")
    done = run(*RUN, f"{folder}/calls", *place)
    expect(f"{folder}: ids", done.stdout.split(), IDS)
    expect(f"{folder}: prints nothing", done.stderr, "")
    done = run(*RUN, f"{folder}/embed", QUESTION, *place)
    expect(f"{folder}: embed", done.stdout, ANSWER)
    says(f"{folder}: embed", done.stderr, f"{len(IDS)} written")
    if weights:
        expect("the weights that pkg-config names",
               os.path.realpath(run("pkg-config", "--variable=weights", "gemma", env=env).stdout.strip()),
               os.path.realpath(weights))


def check_cmake(folder, weights):
    build = f"{folder}-cmake"
    run("cmake", "-S", EMBED, "-B", build, "-DCMAKE_C_COMPILER=clang-22",
        f"-DCMAKE_PREFIX_PATH={os.path.abspath(folder)}")
    run("cmake", "--build", build)
    expect(f"{folder}: CMake", run(f"{build}/embed", QUESTION, *([weights] if weights else [])).stdout, ANSWER)
    other = run("cmake", "-P", f"{folder}/lib/cmake/gemma/gemmaConfigVersion.cmake")
    expect("CMake's version file", other.returncode, 0)
    for version, fits in (("0.1", True), ("0.1.0", True), ("0.2", False), ("0.0.9", False), ("1.0", False)):
        with open("version.cmake", "w", encoding="utf-8") as out:
            out.write(f"set(PACKAGE_FIND_VERSION {version})\n"
                      f"include({os.path.abspath(folder)}/lib/cmake/gemma/gemmaConfigVersion.cmake)\n"
                      'if(PACKAGE_VERSION_COMPATIBLE)\nmessage(FATAL_ERROR fits)\nendif()\n')
        run("cmake", "-P", "version.cmake", code=1 if fits else 0)


def check_shared(file):
    dynamic = run("readelf", "-dW", file).stdout
    expect("SONAME", re.findall(r"SONAME.*\[(.*)\]", dynamic), ["libgemma.so.0.1"])
    needed = set(re.findall(r"NEEDED.*\[(.*)\]", dynamic))
    expect("libraries beside libc", {n for n in needed if not re.match(r"(libc|libm|ld-linux-[\w-]+)\.so\.", n)}, set())
    symbols = run("nm", "-D", "--defined-only", file).stdout.split("\n")
    names = {line.split()[-1] for line in symbols if line}
    with open(f"{SRC}/runtime/lib/gemma.h", encoding="utf-8") as header:
        declared = set(re.findall(r"\b(gemma_\w+)\(", re.sub(r"/\*.*?\*/", "", header.read(), flags=re.S)))
    expect("what is visible", names, declared)
    if not 5 < len(declared) <= 18:
        wrong("functions", declared)
    floor = max(tuple(map(int, v.split("."))) for v in re.findall(r"GLIBC_([\d.]+)", run("objdump", "-T", file).stdout))
    if floor > (2, 34):
        wrong("needs glibc", floor, "but docs/library.md says 2.34")


def check_archive(file):
    """What programs have too must not meet what is inside."""
    symbols = run("nm", "-g", "--defined-only", file).stdout
    names = {line.split()[-1] for line in symbols.split("\n") if len(line.split()) == 3}
    expect("what an archive defines", {n for n in names if not n.startswith("gemma_")}, {"gm_model", "gm_sections"})
    if ARM:
        return
    with open("clash.cpp", "w", encoding="utf-8") as out:
        out.write("#include <gemma.h>\n#include <iostream>\n#include <map>\n#include <stdexcept>\n"
                  "int main(int, char **argv) {\n  std::map<std::string, int> seen{{\"a\", 1}};\n"
                  "  try { seen.at(\"b\"); } catch (const std::out_of_range &) { std::cout << \"caught\"; }\n"
                  "  gemma_options o = {};\n  o.size = sizeof o;\n  o.path = argv[1];\n  gemma_model *m;\n"
                  "  gemma_error e;\n  if (gemma_open(&o, &m, &e)) { std::cout << e.text; return 1; }\n"
                  "  gemma_close(m);\n  std::cout << \" closed\";\n}\n")
    for more in ([], ["-static"], ["-static-libstdc++", "-Wl,--gc-sections"]):
        run("clang++-22", "clash.cpp", "-Istatic/libgemma/include", file, "-lm", *more, "-o", "clash")
        expect(f"a C++ program {more}", run("./clash", "static/libgemma/lib/libgemma.weights").stdout, "caught closed")


def check_places():
    """Where libraries and weights are found, and where not."""
    os.makedirs("moved")
    shutil.copytree("shared/libgemma", "moved/libgemma", symlinks=True)
    python = [sys.executable, f"{EMBED}/embed.py"]
    done = run(*python, "./libgemma.so", QUESTION, cwd="moved/libgemma/lib")
    expect("a folder that moved, and embed.py", done.stdout, ANSWER)
    with open("moved/libgemma/lib/libgemma.so.0.1.0", "r+b") as file:
        file.truncate(os.path.getsize(file.name) - 1)
    says("a library cut off", run(*python, "moved/libgemma/lib/libgemma.so", QUESTION, code=1).stderr, "trailer")
    done = run("static/libgemma/embed", QUESTION, code=3)
    says("no weights beside the program", done.stderr, "libgemma.weights")
    shutil.copy("static/libgemma/lib/libgemma.weights", "static/libgemma/libgemma.weights")
    expect("weights beside the program", run("static/libgemma/embed", QUESTION).stdout, ANSWER)
    done = run("static/libgemma/embed", QUESTION, "other.weights", code=3)
    says("no such weights", done.stderr, "other.weights")
    gemmac("--emit=static-lib", "--quant=q8", "-o", "q8/libgemma")
    says("weights of another library",
         run("static/libgemma/embed", QUESTION, "q8/libgemma/lib/libgemma.weights", code=3).stderr, "holds the weights")


def check_two():
    """Two models in one process, loaded by names relative to a folder that is left."""
    gemmac("--emit=lib", "-o", "two/libother", model="nano-m")
    script = """
import ctypes, os
one, two = ctypes.CDLL("shared/libgemma/lib/libgemma.so"), ctypes.CDLL("two/libother/lib/libother.so")
os.chdir("/")
models = []
for lib in (one, two):
    error, model = ctypes.create_string_buffer(512), ctypes.c_void_p()
    assert lib.gemma_open(None, ctypes.byref(model), error) == 0, error.raw[4:]
    models.append((lib, model))
for lib, model in models:
    lib.gemma_info.restype = ctypes.c_char_p
    print(lib.gemma_info(model).decode())
for lib, model in models:
    lib.gemma_close(model)
"""
    lines = run(sys.executable, "-c", script).stdout.split("\n")
    expect("two models", [json.loads(line)["name"] for line in lines if line], ["nano-e", "nano-m"])


def check_media():
    """A picture in a conversation: the program's answer and ids; none without room for it."""
    script = """
import base64, ctypes, json, sys
lib, error = ctypes.CDLL("shared/libgemma/lib/libgemma.so"), ctypes.create_string_buffer(512)
class Options(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("path", ctypes.c_char_p)] + [(n, ctypes.c_int64) for n in "context slots queue batch threads checkpoints device media_bytes".split()]
class Request(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("chat", ctypes.c_char_p)]
class Piece(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("kind", ctypes.c_int32), ("call", ctypes.c_int32), ("text", ctypes.c_char_p)]
options, model, answer = Options(ctypes.sizeof(Options), media_bytes=int(sys.argv[1])), ctypes.c_void_p(), ctypes.c_void_p()
code = lib.gemma_open(ctypes.byref(options), ctypes.byref(model), error)
if code:
    sys.exit(error.raw[4:].decode())
lib.gemma_info.restype = ctypes.c_char_p
info = json.loads(lib.gemma_info(model))
with open(sys.argv[2], "rb") as f:
    url = "data:image/png;base64," + base64.b64encode(f.read()).decode()
content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "Describe the picture."}]
chat = json.dumps({"messages": [{"role": "user", "content": content}], "temperature": 0}).encode()
ids, count = (ctypes.c_int32 * 600)(), ctypes.c_size_t(600)
code = lib.gemma_render(model, chat, ids, ctypes.byref(count), error)
if code:
    sys.exit(f"{info['vision']} {error.raw[4:].decode()}")
request, piece, text = Request(ctypes.sizeof(Request), chat), Piece(ctypes.sizeof(Piece)), ""
assert lib.gemma_start(model, ctypes.byref(request), ctypes.byref(answer), error) == 0, error.raw[4:]
while piece.kind != 5:
    assert lib.gemma_next(answer, ctypes.c_int64(-1), ctypes.byref(piece), error) == 0, error.raw[4:]
    text += piece.text.decode() if piece.kind == 1 else ""
print(info["vision"], info["audio"], *ids[:count.value])
print(text)
"""
    picture = f"{SRC}/examples/eval/media/img003.png"
    with open("talk", "w", encoding="utf-8") as out:
        json.dump([{"role": "user", "content": [{"type": "image", "url": picture}, {"type": "text", "text": "Describe the picture."}]}], out)
    ids = run("./nano", "tokenize", "--messages", "talk").stdout.split()
    text = run("./nano", "run", "--temp", "0", "--image", picture, "Describe the picture.").stdout
    expect("a picture", run(sys.executable, "-c", script, str(64 << 20), picture).stdout, " ".join(["True", "True", *ids]) + "\n" + text)
    says("no room for pictures", run(sys.executable, "-c", script, "0", picture, code=1).stderr, "False ")
    says("too little", run(sys.executable, "-c", script, "1000", picture, code=1).stderr, "True ")
    says("more than there is", run(sys.executable, "-c", script, str(1 << 40), picture, code=1).stderr, "no memory for pictures")


def check_refusals():
    for flags, part in ((["-o", "/dev/null"], "new folder"), (["-o", "nano"], "new folder"), (["-o", "."], "expects letters"),
                        (["-o", "lib"], "expects letters"), (["-o", "x", "--weights=none"], "expect weights"),
                        (["-o", "x", "--verify", CALLS], "--verify"), (["-o", "x", "--compile-to=plan"], "exclude")):
        says(f"--emit=lib {flags}", gemmac("--emit=lib", *flags, code=2), part)
    expect("what is left of refused libraries", os.path.exists("x"), False)


gemmac("--emit=lib", "-o", "shared/libgemma")
gemmac("--emit=static-lib", "-o", "static/libgemma")
WEIGHTS = "static/libgemma/lib/libgemma.weights"
check_shared("shared/libgemma/lib/libgemma.so")
check_archive("static/libgemma/lib/libgemma.a")
check_build("shared/libgemma", "")
check_build("static/libgemma", WEIGHTS)
if not ARM:
    check_cmake("shared/libgemma", "")
    check_cmake("static/libgemma", WEIGHTS)
    check_places()
    check_two()
    check_media()
    check_refusals()
    gemmac("--emit=lib", "-o", "shared/libgemma")  # over an earlier one
    gemmac("--emit=lib", "--weights=external", "-o", "external/libgemma")
    expect("external weights", run(sys.executable, f"{EMBED}/embed.py", "external/libgemma/lib/libgemma.so", QUESTION).stdout,
           ANSWER)
sys.exit(bad > 0)
