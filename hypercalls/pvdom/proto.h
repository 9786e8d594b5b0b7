/* SPDX-License-Identifier: MIT */
/*
 * The broker's (pvd) contract with a domain's process (pvdom).
 *
 * pvd creates the RAM memfd and two SOCK_SEQPACKET pairs, then runs
 *	pvdom --domid N --vcpus V --ram-fd F --ctl-fd F --up-fd F
 *	      [--provider process|vtx] [--tsc-khz K]
 * ctl: pvd asks, pvdom answers (served by pvdom's I/O thread).
 * up:  pvdom asks, pvd answers (one request in flight; any vCPU thread).
 * Every request is one packet {struct pvdom_req, payload}, every answer one packet
 * {struct pvdom_rsp, payload}; descriptors travel by SCM_RIGHTS. Neither side trusts the
 * other's sizes. pvd gives an answer PVDOM_TIMEOUT_MS, then fails the caller with -EIO.
 * Unknown operations are answered with -ENOSYS. pvdom exits with status 0 when ctl is closed, and
 * by SIGTERM: then pvd destroys the domain.
 */
#ifndef PAVANE_PVDOM_PROTO_H
#define PAVANE_PVDOM_PROTO_H

#include <stdint.h>

#define PVDOM_TIMEOUT_MS   10000
#define PVDOM_MAX_PAYLOAD  65536
#define PVDOM_MAX_VCPUS	   32
#define PVDOM_SANDBOX_TEXT 160

/* Of one domain at a time; the broker refuses more, whatever its process says. */
#define PVDOM_MAX_PORTS	   1024 /* event channels */
#define PVDOM_MAX_LENT	   1024 /* pages that others map */
#define PVDOM_MAX_MAPPINGS 8192 /* of grants of others */

/*
 * A machine frame number is an offset, in pages, into the domain's RAM memfd. The low frames
 * stand for Xen's own heap: mappable by number like any other, never part of the reservation.
 */
#define PVDOM_MFN_SHARED_INFO 1
#define PVDOM_MFN_GRANT	      2 /* grant table v1, PVDOM_GRANT_FRAMES frames */
#define PVDOM_GRANT_FRAMES    32
#define PVDOM_MFN_FOREIGN     64  /* numbers for pages of other domains, up to MFN_RAM */
#define PVDOM_MFN_RAM	      512 /* first frame of the reservation */

struct pvdom_req {
	uint32_t op;
	uint32_t len; /* bytes of payload behind this header */
	uint64_t arg[4];
};

struct pvdom_rsp {
	int64_t ret; /* >= 0, or -errno (Xen's numbers are Linux's for those used) */
	uint32_t len;
	uint32_t reserved; /* 0 */
	uint64_t out[2];
};

enum pvdom_ctl {
	/* memfd is sized and sealed (SHRINK|GROW|SEAL) by pvd for this many RAM frames before it.
	 */
	CTL_SET_MAX_MEM = 1, /* arg0 = max_pages */
	CTL_POPULATE,	    /* arg0 = order; payload u64 pfn[]; -> u64 first mfn[]; ret = extents */
	CTL_DECREASE,	    /* arg0 = order; payload u64 mfn[]; ret = extents */
	CTL_SET_MEMORY_MAP, /* payload struct e820entry[] (20 bytes each, packed) */
	CTL_MMUEXT,	    /* arg0 = MMUEXT_* cmd, arg1 = mfn */
	CTL_HYPERCALL_PAGE, /* arg0 = mfn: fill it */
	CTL_SET_CONTEXT,    /* arg0 = vcpu; payload struct vcpu_guest_context */
	CTL_GET_CONTEXT,    /* arg0 = vcpu; -> struct vcpu_guest_context */
	CTL_PAUSE,	    /* a domain starts paused once; pause is a flag here, pvd counts */
	CTL_UNPAUSE,
	CTL_INFO,	       /* -> struct pvdom_info */
	CTL_VCPU_INFO,	       /* arg0 = vcpu; -> struct pvdom_vcpu_info */
	CTL_EVTCHN_ALLOC,      /* arg0 = remote domid; ret = port */
	CTL_EVTCHN_CONNECT,    /* arg0 = port, 1 = remote domid, 2 = remote port; 2 fds: rx, tx */
	CTL_EVTCHN_DISCONNECT, /* arg0 = port, 1 = remote domid, 2 = its port, which closed */
	CTL_EVTCHN_STATUS,     /* arg0 = port; -> struct evtchn_status (public header) */
	CTL_SEND_VIRQ,	       /* arg0 = virq, arg1 = vcpu */
	CTL_GRANT_FRAMES,      /* ret = grant frames in use (>= 1) */
	CTL_SHUTDOWN, /* arg0 = reason: SCHEDOP_remote_shutdown; parks the vCPUs, no UP_SHUTDOWN */
	CTL_LEND,     /* arg0 = mfn, 1 fd of one page: its memory moves there; passed twice */
	CTL_RETURN,   /* arg0 = mfn: it moves back */
	/* arg0 = mfn, 1 = n: they stay memory that may be written to, until CTL_DROP; ret = how
	 * many from the first on do: the next one is a table, or not the guest's */
	CTL_HOLD,
	CTL_DROP,	  /* arg0 = mfn, 1 = n */
	CTL_DEBUG,	  /* arg0 = 1: a debugger comes; 0: it goes, and nothing of it stays */
	CTL_DEBUG_HOLD,	  /* arg0 = vcpu, 1 = 1: it is to stand still; 0: no longer */
	CTL_DEBUG_STEP,	  /* arg0 = vcpu, which stands still, 1 = 1: one instruction; 0: not so */
	CTL_DEBUG_STATUS, /* -> struct pvdom_debug; takes the event */
	CTL_DEBUG_READ,	  /* arg0 = vcpu, whose tables, 1 = va, 2 = n; -> bytes; ret = how many */
	CTL_DEBUG_WRITE,  /* arg0 = vcpu, 1 = va; payload; ret = how many */
	CTL_DEBUG_BREAK,  /* arg0 = vcpu, 1 = va, 2 = 1: an int3 there; 0: no longer */
	/* arg0 = enum debug_point, 1 = va, 2 = bytes, 3 = 1: set, 0: no longer; ret = its number */
	CTL_DEBUG_POINT,
	CTL_TRACE, /* arg0 = TRACE_* to the fd, passed twice; 0 and none: no longer */
	/* What the translator gets wrong to the fd, passed twice; none: no longer. arg0 = how often
	 * each block is compared, 0: always */
	CTL_CHECK,
};

/* What of a guest is traced. */
#define TRACE_BLOCKS  1U
#define TRACE_EXITS   2U
#define TRACE_TRAPS   4U
#define TRACE_FLUSHES 8U
#define TRACE_ALL     15U

enum pvdom_up {
	UP_READY = 1,	 /* sandboxed and serving ctl; arg0 = 1 if seccomp is in force */
	UP_SHUTDOWN,	 /* arg0 = SHUTDOWN_* reason; payload = one line why, if a crash */
	UP_EVTCHN_BIND,	 /* arg0 = remote domid, 1 = remote port, 2 = local port; 2 fds: rx, tx */
	UP_EVTCHN_CLOSE, /* arg0 = local port of an interdomain or unbound channel */
	UP_CONSOLE,	 /* payload = text of CONSOLEIO_write */
	UP_GRANT_COPY,	 /* payload struct gnttab_copy[]; same back with status filled */
	UP_GRANT_MAP, /* arg0 = domid, 1 = ref, 2 = GNTMAP_* flags; ret >= 0 handle, fd of one page,
		       * passed twice
		       */
	UP_GRANT_UNMAP, /* arg0 = handle */
	UP_DEBUG,	/* the domain has stopped for its debugger */
};

/* rx and tx are eventfds: writing 1 to the peer's rx sends the event; reading rx takes it. */

struct pvdom_info {
	uint64_t tot_pages, max_pages;
	uint64_t cpu_time_ns;
	uint32_t online_vcpus;
	uint8_t blocked; /* every online vCPU waits for an event */
	uint8_t held;	 /* every online vCPU stands still, for a debugger */
	uint8_t reserved[2];
	char provider[64];		  /* "process (direct)" */
	char sandbox[PVDOM_SANDBOX_TEXT]; /* "seccomp with 21 system calls, no_new_privs, ..." */
	char provider_why[64];		  /* not a better one; or empty */
};

struct pvdom_debug {
	uint32_t still;	      /* no vCPU runs */
	uint32_t vcpu, event; /* a vector, DEBUG_CRASHED, DEBUG_POINT and a number, 0: none */
};

struct pvdom_vcpu_info {
	uint8_t online, blocked, running, reserved;
	uint32_t cpu;
	uint64_t cpu_time_ns;
};

#endif
