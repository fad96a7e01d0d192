"""Starts a program as systemd does: sockets at descriptor 3 and up, and LISTEN_PID as its own number.

activate.py DESCRIPTORS NAMES PROGRAM ARGUMENT...; the lists are separated by commas, names by colons.
"""

import os
import sys

FIRST = 3

descriptors = [int(each) for each in sys.argv[1].split(",") if each]
# Out of the way of one another first.
high = [os.dup2(each, 100 + number, inheritable=False) for number, each in enumerate(descriptors)]
for number, each in enumerate(high):
    os.dup2(each, FIRST + number, inheritable=True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(high))}
if sys.argv[2]:
    os.environ["LISTEN_FDNAMES"] = sys.argv[2]
os.execv(sys.argv[3], sys.argv[3:])
