"""What tools and tests ask of the kernels of a CUDA program: their PTX one by
one, and what ptxas says of each. No card is needed."""
import re
import subprocess

# What ptxas -v says of one kernel.
FACTS = re.compile(
    r"Function properties for (\S+)\n\s*(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads\n"
    r".*?Used (\d+) registers")


def split(ptx):
    """Header, {name: text}: a text and the header in front of it can be assembled."""
    header, *kernels = re.split(r"^\t// \.globl\t", ptx, flags=re.M)
    shared = set(re.findall(r"^\.extern \.shared .*$", ptx, flags=re.M))
    assert len(shared) <= 1, "memory of CTAs is declared twice: %s" % shared
    header = re.sub(r"^\.extern .*\n", "", header, flags=re.M) + "".join(line + "\n" for line in shared)
    found = {}
    for text in kernels:
        name = re.match(r"\S+", text).group()
        # Where the shared memory is declared, blank lines stay behind.
        text = re.sub(r"^\.extern \.shared .*$", "", "// " + text, flags=re.M)
        found[name] = re.sub(r"\n{2,}", "\n", text.rstrip() + "\n")
    return header, found


def assemble(ptxas, sm, ptx, cubin="/dev/null"):
    """{kernel: (stack, spill stores, spill loads, registers)}; raises on failure."""
    done = subprocess.run([ptxas, "-arch=sm_%s" % sm, "-v", "-o", cubin, "/dev/stdin"], input=ptx,
                          capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise RuntimeError("ptxas for sm_%s: %s" % (sm, done.stderr[:2000]))
    return {name: tuple(map(int, numbers)) for name, *numbers in FACTS.findall(done.stderr)}
