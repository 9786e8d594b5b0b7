#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# trace_fds.py DOMID FILE: what pvd does not hand to a domain's process as its trace.
import array, os, socket, struct, sys

RESTRICT, TRACE, TRAPS = 6, 18, 4
domid, path = int(sys.argv[1]), sys.argv[2]


def connect():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(os.environ['PAVANE_RUNDIR'] + '/pvd.sock')
    return s


def ask(s, op, args, fd=-1):
    anc = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [fd]))] if fd >= 0 else []
    s.sendmsg([struct.pack('<II6Q', op, 0, *args, *[0] * (6 - len(args)))], anc)
    return struct.unpack('<q', s.recv(70000)[:8])[0]


write = os.open(path, os.O_WRONLY | os.O_CREAT)
both = os.open(path, os.O_RDWR)
pipe = os.pipe()[1]
s = connect()
for what, fd, want, name in [
        (TRAPS, both, -22, 'a file that can be read'),
        (TRAPS, pipe, -22, 'a pipe'),
        (TRAPS, -1, -22, 'no file'),
        (0, write, -22, 'a file, and nothing to write'),
        (1 << 40, write, -22, 'a kind that there is not'),
        (TRAPS, write, 0, 'but a file to write to is'),
        (0, -1, 0, 'and its end')]:
    got = ask(s, TRACE, [domid, what], fd)
    if got != want:
        sys.exit('%s: %d' % (name, got))
if ask(s, TRACE, [4242, TRAPS], write) != -3:
    sys.exit('no such domain')
s = connect()
if ask(s, RESTRICT, [domid]) or ask(s, TRACE, [domid, TRAPS], write) != -1:
    sys.exit('a backend of the domain traces it')
