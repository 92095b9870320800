"""Checks that documentation can be followed: doc_links.py ROOT. In every source
file, test and document

- a citation docs/NAME.md#ANCHOR names an anchor of that file (the one form of
  citing the model's description and the design), and nothing cites "spec 2.4",
  "design section 3" or the like, which is no file;
- a relative link of a document leads to a file, and to an anchor of it;
- `folder/file` in a document names a file of the tree (<x>, * and {a,b} stand
  for any, any, and each);
- "section 2.4" in a document names a section of it.

Prints what is wrong and exits 1 if there is anything."""
import glob
import os
import re
import sys

ROOT = sys.argv[1]
FOLDERS = ("cmake", "codegen", "compiler", "dialects", "docs", "examples", "passes", "runtime", "support",
           "targets", "test")
TEXT = (".cpp", ".h", ".c", ".td", ".fbs", ".md", ".mlir", ".test", ".py", ".cmake", ".txt", ".in")
CITATION = re.compile(r"\b(docs/[\w./-]+\.md)#([\w.-]*\w)")
BARE = re.compile(r"\b(?:spec|specification,?) (?:section )?\d|\bdesign(?:\.md)?,? section|"
                  r"\bdesign-details|\b(?:text|model|vision|audio) specification\b")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(r"`((?:%s)/[\w./{},*<>-]+)`" % "|".join(FOLDERS))
SECTION = re.compile(r"\bsections? (\d+(?:\.\d+)?)(?: (?:and|to) (\d+(?:\.\d+)?))?")
problems = []


def files():
    for name in sorted(os.listdir(ROOT)):
        if os.path.isfile(os.path.join(ROOT, name)) and (name.endswith(TEXT) or name == "bootstrap"):
            yield name
    for folder in FOLDERS:
        for where, dirs, names in os.walk(os.path.join(ROOT, folder)):
            dirs.sort()
            for name in sorted(names):
                if name.endswith(TEXT) and name not in ("doc_links.py", "docs-links.test"):
                    yield os.path.relpath(os.path.join(where, name), ROOT)


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def anchors(path, known={}):
    """Explicit anchors of a document, and those that renderers give headings."""
    if path not in known:
        text = re.sub(r"^```.*?^```", "", read(path), flags=re.M | re.S)
        found = set(re.findall(r'<a id="([^"]+)">', text))
        for heading in re.findall(r"^#+ (.*)$", text, re.M):
            plain = re.sub(r"<[^>]*>|[`*]|\[|\]\([^)]*\)", "", heading).strip().lower()
            found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
        known[path] = found
    return known[path]


def check(where, path, anchor):
    """A document (or folder, or any file) of the tree, and an anchor or None."""
    if not os.path.exists(os.path.join(ROOT, path)):
        problems.append(f"{where}: there is no {path}")
    elif anchor is not None and anchor not in anchors(path):
        problems.append(f"{where}: {path} has no anchor {anchor}")


def expand(path):
    choice = re.search(r"\{([^{}]*)\}", path)
    if not choice:
        return [re.sub(r"<\w+>", "*", path)]
    return [name for word in choice.group(1).split(",")
            for name in expand(path[:choice.start()] + word + path[choice.end():])]


def check_document(path, number, line):
    where = f"{path}:{number}"
    for target in LINK.findall(line):
        if not re.match(r"\w+:", target):
            file, _, anchor = target.partition("#")
            file = os.path.normpath(os.path.join(os.path.dirname(path), file)) if file else path
            check(where, file, anchor or None)
    if os.path.dirname(path) == "docs/model":  # names files of other projects
        line = PATH.sub("", line)
    for name in PATH.findall(line):
        for pattern in expand(name):
            if not glob.glob(os.path.join(ROOT, pattern)):
                problems.append(f"{where}: there is no {pattern}")
    if os.path.dirname(path) in ("docs", "docs/model"):
        for numbers in SECTION.findall(LINK.sub("", line)):
            for section in filter(None, numbers):
                check(where, path, section)


def main():
    citations = 0
    for path in files():
        document = path.endswith(".md")
        for number, line in enumerate(read(path).splitlines(), 1):
            for file, anchor in CITATION.findall(line):
                citations += 1
                check(f"{path}:{number}", file, anchor)
            if BARE.search(line):
                problems.append(f"{path}:{number}: cites no file: {line.strip()}")
            if document:
                check_document(path, number, line)
    print("\n".join(problems))
    print(f"{citations} citations, {len(problems)} problems")
    return 1 if problems else 0


sys.exit(main())
