"""count.py FILE...: counts the weights of modules, one line `NAME TENSORS
PARAMETERS` per file, named by its base name."""

import math
import os
import re
import sys

for path in sys.argv[1:]:
    with open(path) as file:
        shapes = re.findall(r"gemma\.weight @.* : tensor<([0-9x]+)xf32>", file.read())
    parameters = sum(math.prod(map(int, shape.split("x"))) for shape in shapes)
    print(os.path.basename(path), len(shapes), parameters)
