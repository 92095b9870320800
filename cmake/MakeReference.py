"""Writes docs/reference/*.md, every op and pass, from the tables that define
them: MakeReference.py MLIR_TBLGEN OUT_FOLDER, in the repository's root.
`ninja docs` runs it; a test fails when what is committed differs."""
import glob
import os
import re
import shutil
import subprocess
import sys

tool, out = shutil.which(sys.argv[1]), sys.argv[2]
include = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(tool))), "include")


def make(name, title, table, *flags):
    text = subprocess.run([tool, *flags, "-I", ".", "-I", include, table],
                          capture_output=True, text=True, check=True).stdout
    first, _, rest = text.partition("\n")
    text = (f"<!-- Made by mlir-tblgen from {table} (ninja docs): edit that file. -->\n"
            + (f"\n# {title}\n" if title else "") + rest.replace("[TOC]\n\n", ""))
    # Citations become links; mlir-tblgen leaves more blank lines than it needs.
    text = re.sub(r"\bdocs/([\w./-]+\.md#[\w.-]*\w)", r"[\1](../\1)", text)
    text = re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"
    with open(os.path.join(out, name + ".md"), "w", encoding="utf-8") as file:
        file.write(text)


os.makedirs(out, exist_ok=True)
for path in sorted(glob.glob("dialects/*/*Ops.td")):
    dialect = path.split("/")[1]
    make(dialect, None, path, "-gen-dialect-doc", f"-dialect={dialect}")
make("passes", "Passes", "passes/Passes.td", "-gen-pass-doc")
