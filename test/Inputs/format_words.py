"""Finds comparisons with the name of a format: format_words.py ROOT. Prints each
and exits 1 if there is one. What a format is like stands in targets/Formats.cpp."""
import os
import re
import sys

WORD = r'"(f32|f16|bf16|i32|q[0-9][a-z0-9_]*)"'
COMPARES = re.compile(rf'[=!]= *{WORD}|{WORD} *[=!]=|starts_with\("(q|f|bf|i)[0-9]*"|'
                      r'format\[0\]|[=!]= *(splitFormat|lowFormat)')


def main(root):
    bad = 0
    for folder in ("dialects", "passes", "targets", "codegen", "compiler"):
        for where, _, files in sorted(os.walk(os.path.join(root, folder))):
            for name in sorted(files):
                path = os.path.join(where, name)
                if not name.endswith((".cpp", ".h")) or path.endswith("targets/Formats.cpp"):
                    continue
                with open(path, encoding="utf-8") as text:
                    for number, line in enumerate(text, 1):
                        if COMPARES.search(line):
                            bad += 1
                            print(f"{os.path.relpath(path, root)}:{number}: {line.strip()}")
    return 1 if bad else 0


sys.exit(main(sys.argv[1]))
