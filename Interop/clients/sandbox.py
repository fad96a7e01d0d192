"""Starts a program that may steer no sockets: attaching a program to a group of them is refused, as in some sandboxes.

sandbox.py PROGRAM ARGUMENT...
"""

import ctypes
import errno
import os
import platform
import struct
import sys

SO_ATTACH_REUSEPORT_CBPF = 51
SETSOCKOPT = {"x86_64": 54, "aarch64": 208}[platform.machine()]
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
NUMBER, THIRD_ARGUMENT = 0, 32
"""Where they are in what a filter sees of a system call (seccomp(2))."""
REFUSE, ALLOW = 0x00050000 | errno.EPERM, 0x7FFF0000

FILTER = [
    (LOAD, 0, 0, NUMBER),
    (JUMP_IF_EQUAL, 0, 3, SETSOCKOPT),
    (LOAD, 0, 0, THIRD_ARGUMENT),
    (JUMP_IF_EQUAL, 0, 1, SO_ATTACH_REUSEPORT_CBPF),
    (RETURN, 0, 0, REFUSE),
    (RETURN, 0, 0, ALLOW),
]


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def main():
    packed = b"".join(struct.pack("=HBBI", *each) for each in FILTER)
    libc = ctypes.CDLL(None, use_errno=True)
    program = Program(len(FILTER), packed)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0
    ):
        sys.exit(f"no filter could be set: {os.strerror(ctypes.get_errno())}")
    os.execv(sys.argv[1], sys.argv[1:])


main()
