#!/usr/bin/env python3
"""Runs a command in the guest: control.py SOCKET SECONDS COMMAND. Prints its output and ends with its exit status;
124: there was no answer in time. The command is one line for sh, run as root by guest/local/lib/leasehold-vm/control."""
import re
import socket
import sys

path, seconds, command = sys.argv[1], float(sys.argv[2]), sys.argv[3]
assert "\n" not in command
s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
s.settimeout(seconds)
s.connect(path)
s.sendall(command.encode() + b"\n")
mark = re.compile(rb"\n--- exit status (\d+)\n$")
output = b""
try:
    while not (found := mark.search(output[-64:])):
        chunk = s.recv(1 << 16)
        if not chunk:
            sys.exit(124)
        output += chunk
except TimeoutError:
    sys.stdout.buffer.write(output)
    sys.exit(124)
sys.stdout.buffer.write(output[: output.rindex(b"\n--- exit status ")])
sys.stdout.flush()
sys.exit(int(found.group(1)))
