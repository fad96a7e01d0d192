"""A network of its own, whose loopback has an MTU of 1500: the usual 64 KiB would flatter QUIC."""

import os
import subprocess

from lib.report import Skipped

MTU = 1500


class PrivateNetwork:
    """It lasts as long as a process that waits for its input to end, which it does with this program at the latest."""

    def __init__(self):
        if os.geteuid() != 0:
            raise Skipped("a private network with an MTU of 1500 takes root")
        script = f"ip link set lo mtu {MTU} up && echo ready && exec cat"
        try:
            self.holder = subprocess.Popen(
                ["unshare", "--net", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        except FileNotFoundError:
            raise Skipped("unshare is not installed (Debian package util-linux)") from None
        if self.holder.stdout.readline().strip() != "ready":
            self.end()
            raise Skipped("no private network could be made (unshare --net, ip link)")

    def inside(self, command):
        return ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", *command]

    def end(self):
        self.holder.stdin.close()
        self.holder.wait()


class HostNetwork:
    def inside(self, command):
        return command

    def end(self):
        pass
