#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# A pvdom that lies (PAVANE_PVDOM): random requests on its up socket, random answers on ctl.
import sys,socket,struct,random,threading,os,time
a=dict(zip(sys.argv[1::2],sys.argv[2::2]))
up=socket.socket(fileno=int(a['--up-fd'])); ctl=socket.socket(fileno=int(a['--ctl-fd']))
up.send(struct.pack('<II4Q',1,0,1,0,0,0)); up.recv(70000)
def c():
    while True:
        m=ctl.recv(70000)
        if not m: os._exit(0)
        r=random.random()
        if r<.1: ctl.send(os.urandom(random.randrange(1,60)))
        elif r<.2: ctl.send(struct.pack('<qIIQQ',random.choice([-2**63,2**62,5,-1]),0xffffffff,0,0,0)+os.urandom(random.randrange(0,60000)))
        else: ctl.send(struct.pack('<qIIQQ',0,112,0,0,0)+os.urandom(112))
threading.Thread(target=c,daemon=True).start()
t=time.time()
while time.time()-t<4:
    op=random.randrange(0,10); n=random.choice([0,1,40,80,119,120,121,4000,65536,40*1600])
    if op==2 and random.random()<.999: continue
    ln=n if random.random()<.9 else random.randrange(2**32)
    args=[random.choice([0,1,2,3,5,0xffffffff,2**63,random.randrange(4200)]) for _ in range(4)]
    try: up.send(struct.pack('<II4Q',op,ln,*args)+os.urandom(n)); up.recv(70000)
    except OSError: break
os._exit(0)
