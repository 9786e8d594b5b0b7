#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Create domains by raw hypercalls, without building anything into them: pvd_domains.py N SECONDS
import array, fcntl, mmap, os, socket, struct, sys, time

N, SECONDS, BASE, SIZE = int(sys.argv[1]), float(sys.argv[2]), 0x7000000, 1 << 20
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect(os.environ['PAVANE_RUNDIR'] + '/pvd.sock')
fd = os.memfd_create('a', os.MFD_ALLOW_SEALING)
os.ftruncate(fd, SIZE)
fcntl.fcntl(fd, 1033, 2)  # F_ADD_SEALS, F_SEAL_SHRINK
m = mmap.mmap(fd, SIZE)


def ask(op, *args, fds=()):
    q = struct.pack('<II6Q', op, 0, *(list(args) + [0] * (6 - len(args))))
    anc = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))] if fds else []
    s.sendmsg([q], anc)
    return struct.unpack('<q', s.recv(70000)[:8])[0]


def domctl(cmd, dom, body):
    m[0:144] = struct.pack('<IIHHHH', cmd, 0x15, dom, 0, 0, 0) + body.ljust(128, b'\0')
    return ask(4, 36, BASE)


assert ask(3, BASE, SIZE, 4, fds=[fd]) == 0
for _ in range(N):
    body = struct.pack('<I16sIIIIiiIIII', 0, b'u' * 16, 0, 0, 1, 1023, -1, -1, 1, 0, 0, 0)
    assert domctl(1, 0, body) == 0
    dom = struct.unpack('<H', m[8:10])[0]
    domctl(11, dom, struct.pack('<Q', 16384))
    ask(9, dom)  # a port for it to bind to
time.sleep(SECONDS)
