"""Counts the weights of a module on standard input: tensors, parameters."""
import re, sys

tensors = parameters = 0
for line in sys.stdin:
    match = re.search(r"gemma\.weight @.* : tensor<([0-9x]+)xf32>", line)
    if match:
        count = 1
        for n in match.group(1).split("x"):
            count *= int(n)
        tensors, parameters = tensors + 1, parameters + count
print(tensors, parameters)
