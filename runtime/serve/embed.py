#!/usr/bin/python3
"""Puts bytes into a C++ file, and by itself a JSON file without blanks:
embed.py JSON OUT HEADER FUNCTION."""
import json
import sys


def write_cpp(out, header, function, data):
    """`function`, declared in `header`, returns `data` as a string_view."""
    lines = [",".join(map(str, data[i:i + 32])) for i in range(0, len(data), 32)]
    with open(out, "w") as f:
        f.write("// Made by embed.py.\n#include \"%s\"\n\nnamespace gm {\n\n"
                "static constexpr unsigned char bytes[] = {\n%s};\n"
                "std::string_view %s() {\n"
                "  return {reinterpret_cast<const char *>(bytes), sizeof bytes};\n}\n\n"
                "} // namespace gm\n" % (header, ",\n".join(lines), function))


if __name__ == "__main__":
    source, target, declared, name = sys.argv[1:]
    with open(source, encoding="utf-8") as f:
        text = json.dumps(json.load(f), ensure_ascii=False, separators=(",", ":"))
    write_cpp(target, declared, name, text.encode())
