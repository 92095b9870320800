#!/usr/bin/python3
"""Puts the page of `serve` into one C++ file: embed.py FOLDER LIBRARIES OUT
HTML. OUT is the C++ file, HTML the page alone, for tests.

FOLDER has page.html, page.css and page.js, LIBRARIES marked.umd.min.js and
purify.min.js. The page runs these scripts and styles only: its policy names
their hashes, so what a model writes can never become one."""
import base64
import hashlib
import os
import sys


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
    lines = [",".join(map(str, data[i:i + 32])) for i in range(0, len(data), 32)]
    with open(out, "w") as f:
        f.write("// Made by embed.py.\n#include \"runtime/serve/page.h\"\n\nnamespace gm {\n\n"
                "static constexpr unsigned char bytes[] = {\n%s};\n"
                "std::string_view page() {\n"
                "  return {reinterpret_cast<const char *>(bytes), sizeof bytes};\n}\n\n"
                "} // namespace gm\n" % ",\n".join(lines))


if __name__ == "__main__":
    main()
