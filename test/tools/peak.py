"""Runs a command with its standard output thrown away: peak.py COMMAND ARGUMENT... prints its process number, and at the
end its exit code (negative: the signal) and peak of resident bytes. Is run in a process of its own, by `python3 -I -S`:
what a process had resident before it became the command counts as the command's."""
import os
import signal
import sys

NULL = os.open(os.devnull, os.O_WRONLY)
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, NULL, 1)],
                      setsigdef=[signal.SIGINT, signal.SIGPIPE])
print(pid, flush=True)
_, status, usage = os.wait4(pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss << 10)
