"""table_words.py ROOT TABLES: families, formats, axes, io arrays and segments are asked of their
tables; no other code of the compiler compares with their names. Prints each place that does
and exits 1 if there is one. TABLES is the tree whose tables are meant."""
import pathlib
import re
import sys

FOLDERS = ("dialects", "passes", "targets", "codegen", "compiler")

# Of what, where the table stands, and how its names are found there.
TABLES = (
    ("family", "targets/Kernels.cpp", r'\.name = "(\w+)"'),
    ("family", "targets/TowerKernels.cpp", r'\.name = "(\w+)"'),
    ("format", "targets/Formats.cpp", r'^\s*\{?\.?(?:name = )?"(\w+)"'),
    ("axis", "dialects/kernel/KernelOps.td", r'I32EnumAttrCase<"(?:Blocks|Rows|Tiles|Splits|All|One)", \d+, "(\w+)">'),
    ("io array", "runtime/abi.h", r'^  X\((\w+), (?:f32|i32|any),'),
    ("segment", "runtime/abi.h", r'^  X\((\w+), GM_\w+\)'),
)

# The same word in another meaning.
OTHER = {
    ("compiler/KernelBench.cpp", "ids"): "an operand of families of experts",
    ("compiler/KernelBench.cpp", "rows"): "a parameter of every body",
    ("compiler/KernelBench.cpp", "end"): "a parameter of every body",
    ("compiler/ProgramFacts.cpp", "embed"): "the symbol of a weight",
}

COMPARISONS = re.compile(
    r'[!=]=\s*"(\w+)"|"(\w+)"\s*[!=]=|(?:starts_with|ends_with|Case)\(\s*"(\w+?)_?"')
LISTS = re.compile(r'is_contained\(\s*\{([^}]*)\}|StringLiteral \w+\[\]\s*=\s*\{([^}]*)\}')
# Names of formats by their form and by their constants.
FORMATS = re.compile(r'starts_with\("(?:q|f|bf|i)\d*"|format\[0\]|[=!]=\s*(?:splitFormat|lowFormat)')


def names(root):
    found = {}
    for kind, path, pattern in TABLES:
        words = re.findall(pattern, (root / path).read_text(), re.MULTILINE)
        if not words:
            sys.exit(f"table_words: no {kind} in {path}: the pattern is out of date")
        for word in words:
            found.setdefault(word, []).append((kind, path))
    return found


def compared(text):
    """Offsets and words of all comparisons."""
    for match in COMPARISONS.finditer(text):
        yield match.start(), next(filter(None, match.groups()))
    for match in LISTS.finditer(text):
        for word in re.finditer(r'"(\w+)"', match.group(1) or match.group(2)):
            yield match.start(), word.group(1)
    for match in FORMATS.finditer(text):
        yield match.start(), "f32"


def main():
    root, tables = pathlib.Path(sys.argv[1]), names(pathlib.Path(sys.argv[2]))
    places = 0
    for path in sorted(p for folder in FOLDERS for p in (root / folder).rglob("*")):
        if path.suffix not in (".cpp", ".h", ".td"):
            continue
        name, text = path.relative_to(root).as_posix(), path.read_text()
        for offset, word in compared(text):
            of = tables.get(word, [])
            if not of or any(name == table for _, table in of) or (name, word) in OTHER:
                continue
            places += 1
            line = text.count("\n", 0, offset)
            print(f"{name}:{line + 1}: {' or '.join(kind for kind, _ in of)}: {text.splitlines()[line].strip()}")
    print(f"{places} comparisons with names of tables")
    return places != 0


sys.exit(main())
