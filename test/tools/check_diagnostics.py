"""check_diagnostics.py SOURCE [--list]: every diagnostic of the compiler has a test.

Collects the text of each diagnostic (emitError, emitOpError, emitRemark,
emitWarning, require in FOLDERS) as the literals of its statement with gaps where values
are printed, and what tests expect: expected-error and its kin, FileCheck lines,
strings of Python drivers and of unit tests. A test speaks of the diagnostic whose
literals it repeats most of, in order; a text that stands at n places needs n
tests. ALLOWED names those that no test can reach, each with the reason; an entry
that is not needed any more is an error too. --list prints who tests what.
"""

import argparse
import collections
import pathlib
import re
import sys

FOLDERS = ["dialects", "passes"]

# A part of the text -> why no test can bring it about.
ALLOWED = {
    "returns a value that no kernel computes": "an op whose result is not computed was refused before",
}

SINK = re.compile(r"\b(?:emit(?:OpError|Error|Remark|Warning)|require)\s*\(")
STRING = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
TRANSPARENT = ("string", "StringRef", "Twine", "format", "formatv")
GAP = "\0"


def blank_comments(text):
    """Comments become spaces; strings stay."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)\'', re.S)
    keep = lambda m: m[0] if m[0][0] in "\"'" else re.sub(r"[^\n]", " ", m[0])
    return pattern.sub(keep, text)


def unescape(text):
    return re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t"}.get(m[1], m[1]), text)


def statement(text, start):
    """The statement from `start` on, up to its `;` or to the bracket that ends it."""
    depth, at = 0, start
    while at < len(text):
        string = STRING.match(text, at)
        if string:
            at = string.end()
            continue
        c = text[at]
        depth += (c in "([{") - (c in ")]}")
        if depth < 0 or (c == ";" and depth == 0):
            break
        at += 1
    return text[start:at]


def template(code):
    """The literals of a statement, joined by GAP where something else is printed.
    What calls and conditions in brackets print is a gap, too."""
    out, stack, at, word = [], [], 0, ""
    while at < len(code):
        string = STRING.match(code, at)
        if string:
            if all(stack):
                out.append(re.sub(r"\{(?:\d*|\d*:[^{}]*)\}", GAP, unescape(string[1])))
            at, word = string.end(), ""
            continue
        c = code[at]
        if c in "([{":
            inner = statement(code, at + 1)
            first = at == 0 # the brackets of the sink itself
            stack.append(first or (word in TRANSPARENT and "?" not in inner))
            out.append("" if stack[-1] else GAP)
        elif c in ")]}":
            stack.pop()
        elif not c.isspace() and c not in "+<,":
            out.append(GAP)
        word = word + c if c.isalnum() or c == "_" else ""
        at += 1
    return re.sub(rf"{GAP}+", GAP, "".join(out)).strip(GAP)


def diagnostics(root):
    """{text: [places]} of all diagnostics."""
    found = collections.defaultdict(list)
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in (".cpp", ".h"):
                continue
            text = blank_comments(path.read_text())
            for sink in SINK.finditer(text):
                code = statement(text, sink.end() - 1)
                place = f"{path.relative_to(root)}:{text.count(chr(10), 0, sink.start()) + 1}"
                if re.search(r"[A-Za-z]{2}", template(code)):
                    found[template(code)].append(place)
    return found


def expectations(root):
    """[(text with gaps, place)] of what tests look for."""
    out = []
    for path in sorted((root / "test").rglob("*")):
        if path.suffix in (".mlir", ".test"):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                place = f"{path.relative_to(root)}:{number}"
                for text in re.findall(r"expected-(?:error|remark|warning)[^{]*\{\{(.*?)\}\}(?!\})", line):
                    out.append((text, place))
                check = re.match(r"(?://|#)?\s*[A-Z][A-Z0-9_]*(?:-[A-Z]+)*:\s+(.*)", line)
                if check and not re.match(r"\W*(RUN|DEFINE|REDEFINE)", line):
                    out.append((re.sub(r"\{\{.*?\}\}|\[\[.*?\]\]", GAP, check[1]), place))
        elif re.search(r"_test\.cpp$|check_\w+\.py$", path.name) and path.name != "check_diagnostics.py":
            text = path.read_text()
            joined = re.sub(r'(?<!\\)"\s*\n\s*"', "", text)
            for string in STRING.finditer(joined):
                out.append((unescape(string[1]), str(path.relative_to(root))))
    return [(text, place) for text, place in out if re.search(r"[A-Za-z]{2}", text)]


GRAM = 6 # letters that an expectation and its diagnostic share at least
LEAST = 12 # letters by which an expectation that is cut short names a diagnostic


def overlap(left, right):
    """The length of the longest end of `left`, in whole words, that begins `right`."""
    for n in range(min(len(left), len(right)), 0, -1):
        at = len(left) - n
        if left.endswith(right[:n]) and not re.match(r"\w\w", left[at - 1 : at + 1]) and re.match(r"$|\W", right[n:]):
            return n
    return 0


def is_value(text):
    """A printed value is at most a word; a gap of the expectation may be anything."""
    return GAP in text or len(text.split()) <= 1


def score(literals, expected):
    """How many letters of a diagnostic's literals an expectation repeats, in order;
    0 unless the expectation is all of the diagnostic or a part cut out of it."""
    best = len(expected) if len(expected) >= LEAST and any(expected in l for l in literals) else 0
    for first in range(len(literals)):
        # Where an expectation that begins in the midst begins: in a literal, in a value.
        at = matched = overlap(literals[first], expected) if literals[first] not in expected else 0
        whole = first == at == 0
        for n, literal in enumerate(literals[first + (at > 0) :], first + (at > 0)):
            found = expected.find(literal, at)
            if found < 0:
                tail = overlap(expected[at:], literal)
                if not is_value(expected[at : len(expected) - tail]):
                    matched = tail = 0
                matched += tail
                break
            if n and n == first and not is_value(expected[:found]):
                matched = 0
                break
            at = found + len(literal)
            matched += len(literal)
        else:
            best = max(best, matched + 0.5 if whole else 0) # however short
        best = max(best, matched if matched >= LEAST else 0)
    return best


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()

    found = diagnostics(options.source)
    literals = {text: [p for p in map(str.strip, text.split(GAP)) if p] for text in found}
    tests = collections.defaultdict(list)
    grams = collections.defaultdict(set) # diagnostics by runs of letters
    for text, parts in literals.items():
        for part in parts:
            for i in range(max(len(part) - GRAM, 0) + 1):
                grams[part[i : i + GRAM]].add(text)
    for expected, place in expectations(options.source):
        near = set().union(*(grams.get(expected[i : i + GRAM], ()) for i in range(len(expected))))
        scores = {text: score(literals[text], expected) for text in near}
        best = max(scores.values(), default=0)
        for text, points in scores.items():
            if points and points == best:
                tests[text].append(place)

    failures = 0
    used = set()
    for text, places in sorted(found.items(), key=lambda item: item[1]):
        shown = text.replace(GAP, "...")
        if options.list:
            print(f"{places[0]}: {len(places)} x \"{shown}\": {len(tests[text])}: {', '.join(tests[text][:4])}")
        if len(tests[text]) >= len(places):
            continue
        reason = [key for key in ALLOWED if key in shown]
        used.update(reason)
        if not reason:
            failures += 1
            print(f"{', '.join(places)}: \"{shown}\" has {len(tests[text])} of {len(places)} tests")
    for key in sorted(set(ALLOWED) - used):
        failures += 1
        print(f"ALLOWED names \"{key}\", which has its tests or is no diagnostic")
    print(f"{sum(map(len, found.values()))} diagnostics, {failures} failures")
    return failures > 0


sys.exit(main())
