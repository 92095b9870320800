#!/usr/bin/python3
"""Puts the page of `serve` into one C++ file: make_page.py FOLDER LIBRARIES OUT
HTML. OUT is the C++ file, HTML the page alone, for tests.

FOLDER has page.html, page.css and page.js, LIBRARIES marked.umd.min.js and
purify.min.js. The page runs these scripts and styles only: its policy names
their hashes, so what a model writes can never become one."""
import base64
import hashlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from embed import write_cpp


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as f:
        return f.read()


def hash_of(text):
    return "'sha256-%s'" % base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def main():
    folder, libraries, out, html = sys.argv[1:]
    # The name of a source map is of no use here.
    parts = {
        "STYLE": read(folder, "page.css"),
        "LIBRARIES": "\n".join(
            line for name in ("marked.umd.min.js", "purify.min.js")
            for line in read(libraries, name).splitlines() if not line.startswith("//# sourceMappingURL")),
        "SCRIPT": read(folder, "page.js"),
    }
    for name, text in parts.items():
        if "</script" in text.lower() or "</style" in text.lower():
            sys.exit("%s would end its element" % name)
    policy = ("default-src 'none'; script-src %s %s; style-src %s; connect-src 'self'; "
              "img-src data: blob:; media-src data: blob:; base-uri 'none'; form-action 'none'"
              % (hash_of(parts["LIBRARIES"]), hash_of(parts["SCRIPT"]), hash_of(parts["STYLE"])))
    page = read(folder, "page.html").replace("@POLICY@", policy)
    for name, text in parts.items():
        before, after = page.split("@%s@" % name)
        page = before + text + after
    data = page.encode()
    with open(html, "wb") as f:
        f.write(data)
    write_cpp(out, "runtime/serve/page.h", "page", data)


if __name__ == "__main__":
    main()
