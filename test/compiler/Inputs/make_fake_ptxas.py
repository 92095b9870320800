#!/usr/bin/env python3
"""Writes a program that answers as ptxas does: make_fake_ptxas.py FILE."""
import os
import sys

with open(sys.argv[1], "w") as file:
    file.write(r"""#!/bin/sh
case $1 in
--version) echo 'ptxas: Ptx assembler'; echo 'release 99.1, V99.1.2' ;;
-arch=sm_80 | -arch=sm_90)
  grep -q '^.version 7.4' "$5" || exit 1
  printf '\177ELF of %s' "${1#-arch=}" >"$4" ;;
-arch=sm_86) echo 'ptxas fatal : on fire' >&2; exit 255 ;;
*) echo "ptxas fatal   : Value '${1#-arch=}' is not defined for option 'gpu-name'" >&2; exit 255 ;;
esac
""")
os.chmod(sys.argv[1], 0o755)
