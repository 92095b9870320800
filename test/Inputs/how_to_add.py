"""Keeps docs/how-to-add.md true: how_to_add.py ROOT.

Each kind of change has an example that is in the tree. The production files
that name it, in their code or by their own name, must be those that the section
lists, no more (a list that has grown old) and no fewer (a change that costs
more than the list says), and not more than the limit. Prints how many there are and exits 1 if a
list is not true."""
import os
import re
import sys

ROOT = sys.argv[1]
FOLDERS = ("codegen", "compiler", "dialects", "passes", "runtime", "support", "targets")
# Section -> what names its example in code, and how many files may.
EXAMPLES = {
    "An op with a kernel": (r'\bTakeOp\b|"take"|\bbuildTake\b|cuda/take\.body', 9),
    "A kernel of devices alone": (r"\badd_norms3_geglu\b", 4),
    "A CPU target": (r"x86-avx2|\b[xX]86Avx2|MACHINES_AVX2", 4),
    "A format": (r"\bq4_bf\b|\bGroupBlock4\b|\bScale::B?F16\b", 9),
    "A segment": (r'"tail"|\bTAIL\b|\bGM_TAIL\b', 6),
}
problems = []


def code(path):
    """A file without its comments."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        text = file.read()
    if path.endswith("CMakeLists.txt"):
        return re.sub(r"#.*", "", text)
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    text = re.sub(r"description = \[\{.*?\}\];", "", text, flags=re.S)
    return re.sub(r"//.*", "", text)


def production():
    for folder in FOLDERS:
        for where, dirs, names in os.walk(os.path.join(ROOT, folder)):
            for name in names:
                if name.endswith((".cpp", ".h", ".td", ".fbs", "CMakeLists.txt")):
                    yield os.path.relpath(os.path.join(where, name), ROOT)


def check(title, section, sources):
    example, limit = EXAMPLES[title]
    listed = {path for path in re.findall(r"`((?:%s)/[^`\s]+)`" % "|".join(FOLDERS), section)}
    naming = {path for path, text in sources.items() if re.search(example, path + "\n" + text)}
    for path in sorted(naming - listed):
        problems.append(f"{title}: {path} names the example and is not listed")
    for path in sorted(listed - naming):
        problems.append(f"{title}: {path} is listed and does not name the example")
    if len(listed) > limit:
        problems.append(f"{title}: {len(listed)} files, at most {limit} may be needed")
    print(f"{title}: {len(listed)} files")


def main():
    with open(os.path.join(ROOT, "docs/how-to-add.md"), encoding="utf-8") as file:
        sections = dict(part.split("\n", 1) for part in re.split(r"^## ", file.read(), flags=re.M)[1:])
    sources = {path: code(path) for path in production()}
    for title in EXAMPLES:
        if title in sections:
            check(title, sections[title], sources)
        else:
            problems.append(f"docs/how-to-add.md has no section '{title}'")
    print("\n".join(problems))
    return 1 if problems else 0


sys.exit(main())
