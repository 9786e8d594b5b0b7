#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# A client that means harm: random requests and hypercalls with pointers around its arena.
# pvd_client.py SEED [SECONDS]; PAVANE_RUNDIR says which pvd.
import socket,struct,random,os,fcntl,mmap,time,array,sys
p=os.environ['PAVANE_RUNDIR']+'/pvd.sock'
def conn():
    s=socket.socket(socket.AF_UNIX,socket.SOCK_SEQPACKET); s.settimeout(60); s.connect(p); return s
random.seed(int(sys.argv[1])); t=time.time(); n=0
B=0x7000000; SZ=1<<20
def arena(s):
    fd=os.memfd_create('a',os.MFD_ALLOW_SEALING); os.ftruncate(fd,SZ); fcntl.fcntl(fd,1033,2)
    m=mmap.mmap(fd,SZ)
    s.sendmsg([struct.pack('<II6Q',3,0,B,SZ,4,0,0,0)],[(socket.SOL_SOCKET,socket.SCM_RIGHTS,array.array('i',[fd]))]); s.recv(70000); os.close(fd); return m
def ptr(): return random.choice([0,B,B+random.randrange(SZ),B+SZ-8,B+SZ-random.randrange(200),2**64-8,B-1])
while time.time()-t<float(sys.argv[2] if len(sys.argv) > 2 else 8):
    s=conn(); m=arena(s)
    for _ in range(200):
        n+=1
        o=random.randrange(0,SZ-4096)//8*8
        if random.random()<.7:
            nr=random.choice([13,12,17,36,35,26,32,29,1,60])
            if nr in(36,35):
                m[o:o+400]=os.urandom(400)
                m[o:o+16]=struct.pack('<IIHHHH',random.choice(list(range(1,37))+[60,68,82,83]),0x15,random.choice([0,1,2,3,4,0xffff]),0,0,0)
                for k in range(16,140,8):
                    if random.random()<.6: m[o+k:o+k+8]=struct.pack('<Q',random.choice([ptr(),random.randrange(64),0,1]))
                if m[o:o+4]==b'\1\0\0\0' and nr==36 and random.random()<.9: continue
                a=[B+o,0,0,0,0]
            elif nr==13:
                m[o:o+64]=struct.pack('<8Q',random.choice([12,17,32,36,13]),0,random.randrange(30),ptr(),ptr(),0,0,0); a=[B+o,random.choice([1,2,5000,2**63]),0,0,0]
            else:
                m[o:o+32]=struct.pack('<QQIIHHI',ptr(),random.choice([0,1,9000,2**40,2**63]),random.choice([0,9,18,19,2**31]),0,random.choice([1,2,3]),0,0)
                a=[random.randrange(0,30),B+o if random.random()<.8 else ptr(),random.randrange(10),ptr(),1]
                if nr==26: a=[B+o,random.randrange(2000),ptr(),random.randrange(4),0]
            q=struct.pack('<II6Q',4,0,nr,*a); d=b''
        else:
            op=random.choice([0,3,5,7,8,9,10,11,12,13,14,15,16,17,20,99]); ln=random.choice([0,1,4,8,24,28,4000,65536]); d=os.urandom(ln)
            args=[random.choice([0,1,2,3,4,5,2**32,2**64-1]) for _ in range(6)]
            if op==13 and random.random()<.8: # several copies and the bytes of some
                copies=random.randrange(1,30)
                d=b''.join(struct.pack('<IIHHHHHBB',random.randrange(20),random.randrange(20),random.randrange(4),random.randrange(4),random.randrange(5000),random.randrange(5000),random.randrange(4200),random.randrange(2),random.randrange(2)) for _ in range(copies))
                args[0]=copies+random.choice([0]*8+[-1,1]); d=(d+os.urandom(ln))[:65536]; ln=len(d)
            q=struct.pack('<II6Q',op,ln if random.random()<.95 else random.randrange(2**32),*args)
        try: s.send(q+d); s.recv(70000)
        except (OSError,) as e: print('lost',e,op if d else nr); break
    s.close()
print('requests',n)
