#!/usr/bin/env python3
"""The texts of PTX that stand in the runtime's sources become machine code that
keeps all in registers: check_own_ptx.py PTXAS SMS FOLDER."""
import pathlib
import re
import sys

import kernels_of


def main():
    ptxas, sms, folder = sys.argv[1:]
    said, count = [], 0
    for path in sorted(pathlib.Path(folder).glob("*.cpp")):
        for text in re.findall(r'R"\(\n(\.version.*?)\)"', path.read_text(), re.S):
            entries = set(re.findall(r"\.entry (\w+)", text))
            count += len(entries)
            for sm in sms.split(","):
                found = kernels_of.assemble(ptxas, sm, text)
                if set(found) != entries or any(any(numbers[:3]) for numbers in found.values()):
                    said.append(f"FAIL {path.name} for sm_{sm}: {found}, expects {sorted(entries)} without stack and spills")
    print(count, "kernels of the runtime")
    print("\n".join(said))
    sys.exit(1 if said else 0)


main()
