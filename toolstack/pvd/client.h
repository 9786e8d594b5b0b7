/* SPDX-License-Identifier: MIT */
/*
 * A client's contract with the broker: what the four libraries in toolstack/xenlibs ask of pvd.
 *
 * A handle is one SOCK_SEQPACKET connection to RUNDIR/pvd.sock. One packet {struct pvd_req,
 * payload} asks, one packet {struct pvd_rsp, payload} answers, in order; descriptors travel by
 * SCM_RIGHTS. Everything a connection was given (ports, grant maps) ends with it.
 *
 * Hypercalls need no marshalling: their buffers live in one memfd of the client's (the arena),
 * which pvd maps as well; pvd turns a pointer into an offset, checks it, and copies in once.
 */
#ifndef PAVANE_PVD_CLIENT_H
#define PAVANE_PVD_CLIENT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define PVD_PROTO	4
#define PVD_MAX_PAYLOAD 65536
#define PVD_MAX_FDS	2
#define PVD_ARENA_SIZE	(64UL << 20)
#define PVD_NO_NOTIFY	(~0UL)

/*
 * In the flags of XEN_DOMCTL_createdomain: the provider to use. None: the best that works. And that
 * the domain goes if this connection ends before PVD_FINISHED.
 */
#define PVD_CDF_UNFINISHED (1U << 28)
#define PVD_CDF_TRANSLATE  (1U << 29)
#define PVD_CDF_PROCESS	   (1U << 30)
#define PVD_CDF_VTX	   (1U << 31)
#define PVD_CDF_PROVIDERS  (PVD_CDF_TRANSLATE | PVD_CDF_PROCESS | PVD_CDF_VTX)

/*
 * A domctl beside Xen's, with gdbsx_guest_memio's arguments: an int3 of the debugger's at gva, by
 * the page tables of vCPU pgd3val (gwr = 1), or no longer (0). It is not seen by gdbsx_guestmemio.
 */
#define PVD_DOMCTL_breakpoint 1100
/*
 * Likewise a hardware breakpoint or watchpoint: of gdb's type (1 to 4) pgd3val, at [gva, gva +
 * len). `remain` is then its number, less than PVD_POINTS; one that is met is vcpu_ev
 * PVD_EVENT_POINT and that. ENOSYS: the domain's provider has none. Who is not the debugger may ask
 * with len = 0: ENOSYS, or EINVAL.
 */
#define PVD_DOMCTL_point 1101
#define PVD_POINTS	 16
#define PVD_EVENT_POINT	 512

struct pvd_req {
	uint32_t op;
	uint32_t len; /* bytes of payload behind this header */
	uint64_t arg[6];
};

struct pvd_rsp {
	int64_t ret; /* >= 0, or -errno */
	uint32_t len;
	uint32_t reserved;
	uint64_t out[2];
};

enum pvd_op {
	PVD_HELLO = 1, /* arg0 = PVD_PROTO; out0 = 1 once the store answers, 1 = domains */
	PVD_STOP,      /* end the daemon, every domain with it */
	/* arg0 = its address in the client, 1 = size, 2 = PVD_PROTO; 1 fd, sealed SHRINK */
	PVD_ARENA,
	PVD_HYPERCALL, /* arg0 = number, arg1.. = arguments */
	/* arg0 = domid; out0 = frames, 1 = it has run (PVD_HOLD); 1 fd: the memfd, frame n at page
	   n */
	PVD_DOMAIN_RAM,
	PVD_RESTRICT,	  /* arg0 = domid: this connection concerns no other from now on */
	PVD_BIND_VIRQ,	  /* arg0 = virq; ret = port; 2 fds: rx, tx */
	PVD_BIND_DOMAIN,  /* arg0 = domid, 1 = its port; ret = port; 2 fds */
	PVD_BIND_UNBOUND, /* arg0 = domid that may bind; ret = port; 2 fds */
	PVD_UNBIND,	  /* arg0 = port */
	/* arg0 = domid, 1 = write, 2 = notify offset, 3 = notify port; payload u32 ref[];
	 * -> u64 mfn[]; ret = id; 1 fd: the memfd */
	PVD_GRANT_MAP,
	PVD_GRANT_UNMAP, /* arg0 = id */
	/* arg0 = n; payload struct pvd_copy[n], then the bytes of each unless src_is_ref;
	 * -> int16_t GNTST_*[n], then the bytes of each (zeros if it failed) unless dst_is_ref */
	PVD_GRANT_COPY,
	PVD_DOMAIN_STATS, /* arg0 = domid; -> struct pvd_domain_stats */
	/* arg0 = domid, 1 = enum pvd_backend, 2 = device number: let there be its process, until it
	 * exits with status 0 or the domain is destroyed; -ENOENT: that program is not installed */
	PVD_BACKEND,
	/* Before the client maps frames of a domain that has run, to write to them: arg0 = domid,
	 * 1 = the first frame, 2 = how many; ret = how many from the first on may be, out0 = id */
	PVD_HOLD,
	PVD_DROP, /* arg0 = id: they are unmapped */
	/* arg0 = domid, 1 = TRACE_* (pvdom/proto.h) of it; 1 fd, a file open to write only, or
	 * none and arg1 = 0: no longer */
	PVD_TRACE,
	/* arg0 = domid: what its translator gets wrong to such an fd; none: no longer. arg1 = how
	 * often each block is compared, 0: always */
	PVD_CHECK,
	/* The domain that this connection made is whole, or gone. arg0 = domid: this client does
	 * what is to follow that one's end, as long as its connection lasts; 0: pvd sees to it */
	PVD_FINISHED,
};

/* Run as PROGRAM --state FD DOMID DEVICE; FD: a memfd that outlives each of its processes. */
enum pvd_backend {
	PVD_BACKEND_BLOCK = 1, /* pvblk */
	PVD_BACKEND_NET,       /* pvnet */
	PVD_BACKEND_QEMU,      /* pvqemu */
};

/* A copy between a grant and bytes of the client's, or (both) between two grants. */
struct pvd_copy {
	uint32_t src_ref, dst_ref;
	uint16_t src_dom, dst_dom;
	uint16_t src_off, dst_off;
	uint16_t len;
	uint8_t src_is_ref, dst_is_ref;
};

/* What no Xen interface tells. */
struct pvd_domain_stats {
	uint32_t pid; /* of its pvdom */
	uint32_t reserved;
	char provider[64];
	char sandbox[160];
	char provider_why[64]; /* not a better one */
	char why[128];	       /* the last word of a domain that crashed */
};

/* conn.c, in every library and in pvd itself */

/* $PAVANE_RUNDIR, or the default for this user. */
void pvd_rundir(char *buf, size_t size);

/* Descriptors to go with a message, at most PVD_MAX_FDS. */
union fd_room {
	char buf[CMSG_SPACE(PVD_MAX_FDS * sizeof(int))];
	struct cmsghdr align;
};
void fds_attach(struct msghdr *m, union fd_room *room, const int *fd, unsigned n);

/* A connected socket, or -1 with errno. */
int pvd_connect(void);

/*
 * One round trip. fds_out: one descriptor to send, or -1. fds: room for PVD_MAX_FDS, or NULL; what
 * is not received is -1. Returns rsp.ret; -EIO when the broker is gone.
 */
long pvd_call(int sock, uint32_t op, const uint64_t arg[6], const void *out, uint32_t out_len,
	      int fd_out, void *in, uint32_t in_size, uint64_t rsp_out[2], int *fds);

#endif
