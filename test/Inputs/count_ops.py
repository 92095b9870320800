"""count_ops.py OP,OP... FILE...: how often each op stands in each module, one line
`FILE OP N` per pair, files by their base name."""

import os
import re
import sys

for path in sys.argv[2:]:
    with open(path) as file:
        text = file.read()
    for op in sys.argv[1].split(","):
        count = len(re.findall(rf"\bgemma\.{op} ", text))
        print(os.path.basename(path), op, count)
