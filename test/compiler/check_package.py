#!/usr/bin/env python3
"""Whether a Debian package depends on the owners of all shared libraries that
its programs name, and on nothing else: check_package.py PACKAGE ROOT, which has
the package's files. Exits 1 with what differs."""
import functools
import glob
import os
import re
import subprocess
import sys

PACKAGE, ROOT = sys.argv[1:3]


def output(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, check=True, **more).stdout


@functools.cache
def owner(path):
    """The package of an installed file; dpkg may know it with or without /usr."""
    path = os.path.realpath(path)
    for name in (path, path.removeprefix("/usr")):
        done = subprocess.run(["dpkg", "-S", name], capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout.split(":")[0]
    raise SystemExit("no package owns '%s'" % path)


needed = set()
for file in glob.glob(ROOT + "/usr/bin/*") + glob.glob(ROOT + "/usr/lib/gemmac/*.so"):
    names = re.findall(r"\(NEEDED\).*\[(.*)\]", output("readelf", "-d", file))
    where = dict(re.findall(r"^\s*(\S+) => (\S+)", output(
        "/lib64/ld-linux-x86-64.so.2", "--list", file), re.M))
    for name in names:
        path = where.get(name, "/lib64/" + name)  # the loader itself
        if not os.path.realpath(path).startswith(os.path.realpath(ROOT)):
            needed.add(owner(path))
named = {part.split()[0] for part in output("dpkg-deb", "-f", PACKAGE, "Depends").split(",")}
if needed != named:
    sys.exit("Depends lacks %s and has besides %s" % (sorted(needed - named), sorted(named - needed)))
