"""exits.py CODE COMMAND...: runs a command whose exit code is part of what a test
states. Its standard error joins its output; any other code fails."""

import subprocess
import sys

expected, command = int(sys.argv[1]), sys.argv[2:]
code = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT).returncode
if code != expected:
    sys.exit(f"exits.py: expects exit code {expected}, got {code}: {' '.join(command)}")
