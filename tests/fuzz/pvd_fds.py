#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Descriptors that come with a request that takes none, or two instead of one: pvd keeps none.
import array, os, socket, struct, sys

run = os.environ['PAVANE_RUNDIR']
pid = int(open(run + '/pvd.pid').read())
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect(run + '/pvd.sock')


def hello(fds):
    anc = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))] if fds else []
    s.sendmsg([struct.pack('<II6Q', 1, 0, 4, 0, 0, 0, 0, 0)], anc)
    assert struct.unpack('<q', s.recv(70000)[:8])[0] == 0


def count():
    return len(os.listdir('/proc/%d/fd' % pid))


hello([])
before = count()
for i in range(60):
    hello([0] * (i % 6))
hello([])
left = count() - before
print(('ok' if left < 5 else 'not ok') + ' descriptors nobody asked for are closed (%d left)' % left)
sys.exit(left >= 5)
