"""Runs the examples of the documentation: td_examples.py SOURCE_ROOT.

Ops: every ```mlir block in the description of an op of dialects/*/*Ops.td is
put beside the symbols that the compiler prints for a true size, the values that
it takes from outside become arguments (types: VALUES, or those that a call
ends with), and the module is parsed, verified and printed again. Each op has a
block, and it shows the op. Attributes: every line of an example that begins
with one is parsed. Passes and docs/*.md: examples leave things out, so each of
their lines must have the shape of a line that a true size has before or after
some pass: the same words and punctuation; values, symbols and numbers stand for
any.

Tables are read with llvm-tblgen; gemma-opt and gemmac are those on PATH."""
import functools
import glob
import json
import os
import re
import shutil
import subprocess
import sys

ROOT = sys.argv[1]
BLOCK = re.compile(r"^ *```mlir\n(.*?)^ *```$", re.M | re.S)
ATTRIBUTE = re.compile(r"^ *(#\w+\.\w+.*)$", re.M)
problems = []


def records(path, kind):
    """The records of class `kind` in a .td file, in the order of the file."""
    tool = shutil.which("llvm-tblgen")
    include = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(tool))), "include")
    text = subprocess.run([tool, "-I", ROOT, "-I", include, "--dump-json", path],
                          capture_output=True, text=True, check=True).stdout
    table = json.loads(text)
    found = [table[name] for name in table["!instanceof"][kind]]
    return sorted(found, key=lambda record: int(record["!locs"][0].split(":")[-1]))


def blocks(description):
    found = []
    for match in BLOCK.finditer(description):
        lines = match.group(1).splitlines()
        margin = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
        found.append("\n".join(line[margin:] for line in lines))
    return found


def run(command, text=None):
    return subprocess.run(command, input=text, capture_output=True, text=True)


def stage_text(config, stage):
    folder = os.path.join(ROOT, "test/Inputs/configs", config)
    result = run(["gemmac", folder, "--target=x86-avx512", f"--compile-to={stage}", "-o", "-"])
    if result.returncode:
        sys.exit(f"gemmac {folder} --compile-to={stage}: {result.stderr}")
    return [line.strip() for line in result.stdout.splitlines()]


# ---- ops

# Where an op's symbols come from.
STAGE = {"gemma": "import", "kernel": "plan"}
CONFIG = {"router": "26B-A4B", "experts": "26B-A4B", "moe_block": "26B-A4B", "standardize": "26B-A4B",
          "layer_norm": "12B"}
# The values of a layer's text, by name: columns of f32 rows, else the type.
VALUES = {
    "E2B": {"ids": "tensor<?xi32>", "slot": "tensor<?xi32>", "pos": "tensor<?xi32>",
            "want": "tensor<?xi32>", "rope_local": "tensor<?x128x2xf32>", "resid": 1536,
            "hidden": 1536, "h": 1536, "h0": 1536, "h1": 1536, "h2": 1536, "x": 1536,
            "k1": 256, "k2": 256, "v1": 256, "q2": 2048, "g": 6144, "u": 6144,
            "ple": 8960, "p0": 256, "l": 262144},
    "26B-A4B": {"r": 2816, "h1": 2816, "x3": 2816, "w": 8, "e": "tensor<?x8xi32>"},
}
# In towers a name stands for any width: that of the example's first type.
TOWER_FILE = "GemmaTowerOps.td"
TOWER_VALUES = {"position": "tensor<?x2xi32>", "rope": "tensor<?x32x2xf32>"}
SYMBOL = re.compile(r"\w+\.\w+ (@[\w.]+) ")  # not a call or a function: no "("


def arguments(ops, config, tower):
    """Name and type of each value that `ops` take from outside."""
    defined = {name for line in ops for match in [re.match(r"(%[\w.]+(, %[\w.]+)*) = ", line)]
               if match for name in match.group(1).split(", ")}
    types = {}
    for line in ops:
        call = re.search(r"kernel\.call @[\w.]+\((.*?)\).* : \((.*?)\) ->", line)
        if call and call.group(1):
            types.update(zip(call.group(1).split(", "), call.group(2).split(", ")))
    found = {}
    for name in re.findall(r"%[\w.]+", "\n".join(ops)):
        if name in defined:
            continue
        kind = types.get(name, VALUES.get(config, {}).get(name[1:]))
        if tower:
            kind = TOWER_VALUES.get(name[1:], re.search(r"tensor<\?x\d+xf32>", ops[0]).group())
        if kind is None:
            problems.append(f"td_examples.py: VALUES does not know {name}")
        found[name] = f"tensor<?x{kind}xf32>" if isinstance(kind, int) else kind
    return found


def module(config, stage, example, tower=False):
    """The example with everything that it needs: its symbols replace the
    compiler's of that name, its other ops stand in a function."""
    mine = [line for line in example.splitlines() if SYMBOL.match(line)]
    ops = [line for line in example.splitlines() if not SYMBOL.match(line)]
    names = {SYMBOL.match(line).group(1) for line in mine}
    text = symbols(config, stage)
    others = [line for line in text[1:] if SYMBOL.match(line).group(1) not in names]
    values = ", ".join(f"{name}: {kind}" for name, kind in arguments(ops, config, tower).items())
    function = [f"func.func @example({values}) {{", *ops, "return", "}"]
    return "\n".join([text[0], *others, *mine, *function, "}"])


@functools.cache
def symbols(config, stage):
    """What opens the module, and the lines of its weights, caches, ..."""
    lines = stage_text(config, stage)
    start = next(i for i, line in enumerate(lines) if line.startswith("module"))
    end = next(i for i in range(start, len(lines)) if lines[i].endswith(" {"))
    return ["\n".join(lines[start:end + 1])] + \
        [line for line in lines if SYMBOL.match(line)]


def check_op(path, record, dialect):
    mnemonic = record["opName"]
    op = f"{dialect}.{mnemonic}"
    where = f"{path}:{record['!locs'][0].split(':')[-1]}"
    examples = blocks(record["description"])
    if not examples:
        problems.append(f"{where}: {op} has no example")
    for example in examples:
        if op not in example:
            problems.append(f"{where}: the example of {op} does not show it")
        text = module(CONFIG.get(mnemonic, "E2B"), STAGE[dialect], example, TOWER_FILE in str(record["!locs"][0]))
        result = run(["gemma-opt", "-", "--verify-roundtrip"], text)
        if result.returncode or op not in result.stdout:
            message = result.stderr.strip()[:2000] or "the op is gone after printing"
            problems.append(f"{where}: the example of {op}:\n{message}")


# ---- attributes


def check_attribute(path, record):
    where = f"{path}:{record['!locs'][0].split(':')[-1]}"
    if "EnumAttr" in record["!superclasses"]:
        return  # its cases are its documentation
    if "```" not in record["description"]:
        problems.append(f"{where}: {record['!name']} has no example")
    for example in ATTRIBUTE.findall(record["description"]):
        result = run(["gemma-opt", "-"], f"func.func private @f() attributes {{example = {example}}}")
        if result.returncode:
            problems.append(f"{where}: {example}:\n{result.stderr.strip()[:2000]}")


# ---- passes


def shape(line):
    """A regular expression for lines that differ from `line` in values, symbols
    and numbers only; `...` is anything."""
    parts = []
    for token in re.findall(r"\{\.\.\.\}|@?[\w.]*\.\.\.|%[\w.]+|@[\w.]+|-?\d[\w.+-]*|\w[\w.]*|\s+|.", line):
        if token.startswith("@"):
            parts.append(r"@[\w.]+")
        elif token == "{...}":
            parts.append(r"\{.*\}")
        elif token.endswith("..."):
            parts.append(r".*")
        elif token.startswith("%"):
            parts.append(r"%[\w.#]+")
        elif re.match(r"-?\d", token):
            parts.append(r"-?\d[\w.+-]*")
        elif token.isspace():
            parts.append(r"\s*")
        else:
            parts.append(re.sub(r"\d+", r"\\d+", re.escape(token)))
    return re.compile("".join(parts) + r"( *\{.*\})?( *:.*)?")


def check_lines(where, example, printed):
    for text in example.splitlines():
        text = text.split("//")[0].strip()
        if text and text != "..." and not any(map(shape(text).fullmatch, printed)):
            problems.append(f"{where}: no pass reads or prints a line like\n  {text}")


def check_pass(path, record, printed):
    name = record["argument"]
    where = f"{path}:{record['!locs'][0].split(':')[-1]}"
    examples = blocks(record["description"])
    if "```" not in record["description"]:
        problems.append(f"{where}: {name} has no example")
    for example in examples:
        check_lines(f"{where}: {name}", example, printed)


def printed_lines(passes):
    """What two sizes are before, between and after the passes of the pipeline."""
    flags = [f"--{flag}" for flag in passes if flag != "gemma-expand"]
    lines = set()
    for config in ("E2B", "31B"):
        start = stage_text(config, "import")
        result = run(["gemma-opt", "-", "-o", "-", "--mlir-print-ir-after-all", *flags],
                     "\n".join(start))
        if result.returncode:
            sys.exit(f"gemma-opt {' '.join(flags)}: {result.stderr[-2000:]}")
        for line in start + result.stderr.splitlines() + result.stdout.splitlines():
            # a call may have several results: %a:2 = ...
            lines.add(re.sub(r"(%[\w.]+):\d+ =", r"\1 =", line.strip()))
    return lines


def main():
    ops = 0
    for path in sorted(glob.glob(os.path.join(ROOT, "dialects/*/*Ops.td"))):
        name = os.path.relpath(path, ROOT)
        dialect = os.path.basename(os.path.dirname(path))
        for record in records(path, "Op"):
            check_op(name, record, dialect)
            ops += 1
        for record in records(path, "AttrDef"):
            check_attribute(name, record)
    passes = records(os.path.join(ROOT, "passes/Passes.td"), "PassBase")
    printed = printed_lines([record["argument"] for record in passes])
    for record in passes:
        check_pass("passes/Passes.td", record, printed)
    for path in sorted(glob.glob(os.path.join(ROOT, "docs/*.md"))):
        with open(path, encoding="utf-8") as file:
            for example in blocks(file.read()):
                check_lines(os.path.relpath(path, ROOT), example, printed)
    print("\n".join(problems))
    print(f"{ops} ops, {len(passes)} passes, {len(problems)} problems")
    return 1 if problems else 0


sys.exit(main())
