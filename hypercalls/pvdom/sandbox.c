/* SPDX-License-Identifier: MIT */
/*
 * The sandbox around a domain: the guest owns this process, so this list is the boundary.
 *
 * Nothing in it opens, connects, executes, signals or traces anything outside. What the
 * process has when the sandbox closes (its RAM, the broker's two sockets) and what the broker
 * hands it later (eventfds) is all it will ever reach.
 */
#include <linux/prctl.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "hypercalls/pvdom/pvdom.h"

static const int allowed[] = {
	SCMP_SYS(munmap),			      /* the mirror, with maps() below */
	SCMP_SYS(madvise),			      /* give a frame back to the host */
	SCMP_SYS(futex),			      /* block, pause, locks */
	SCMP_SYS(rt_sigreturn),			      /* every trap */
	SCMP_SYS(timer_settime),		      /* set_timer_op */
	SCMP_SYS(clock_gettime),		      /* where the vDSO cannot */
	SCMP_SYS(sched_yield),			      /* SCHEDOP_yield */
	SCMP_SYS(membarrier),			      /* flush of another vCPU's TLB in software */
	SCMP_SYS(epoll_wait),	 SCMP_SYS(epoll_ctl), /* the I/O thread */
	SCMP_SYS(read),				      /* take an event */
	SCMP_SYS(write),			      /* send an event; a last word on stderr */
	SCMP_SYS(sendmsg),	 SCMP_SYS(recvmsg),   /* the broker */
	SCMP_SYS(close),			      /* a closed channel's eventfds */
	SCMP_SYS(brk),				      /* malloc */
	SCMP_SYS(exit_group),
};

/*
 * stderr is the broker's log, cut at 16 MiB: a guest must not fill the disk meanwhile, nor by a
 * trace. What is beyond is an error of write(), not the end of the domain.
 */
#define MAX_FILE (32UL << 20)

/*
 * The mirror, the frame table. What is anonymous must be of the kind that RLIMIT_DATA counts: not
 * shared, not a stack that grows, not to read only, which costs page tables and nothing else.
 * Memory to run only where the guest's own code does, and of a file.
 */
static int maps(scmp_filter_ctx ctx, bool code)
{
	const int kind = MAP_TYPE | MAP_ANONYMOUS | MAP_GROWSDOWN;
	const int own = MAP_PRIVATE | MAP_ANONYMOUS, all = PROT_READ | PROT_WRITE | PROT_EXEC;
	int rc;

	rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
			      SCMP_A2(SCMP_CMP_MASKED_EQ, code ? 0 : PROT_EXEC, 0),
			      SCMP_A3(SCMP_CMP_MASKED_EQ, kind, MAP_SHARED));
	if (!rc)
		rc = seccomp_rule_add(
			ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
			SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_WRITE | PROT_EXEC, PROT_WRITE),
			SCMP_A3(SCMP_CMP_MASKED_EQ, kind, own));
	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
				      SCMP_A2(SCMP_CMP_MASKED_EQ, all, PROT_NONE),
				      SCMP_A3(SCMP_CMP_MASKED_EQ, kind, own));
	return rc;
}

int sandbox_enter(bool ioctls, bool code)
{
	const struct rlimit file = {MAX_FILE, MAX_FILE};
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	const unsigned n = sizeof(allowed) / sizeof(allowed[0]);
	int rc = -ENOMEM;

	if (!ctx || signal(SIGXFSZ, SIG_IGN) == SIG_ERR || setrlimit(RLIMIT_FSIZE, &file))
		return rc;
	rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	/* a call by int 0x80 ends the process as well, not its thread alone */
	if (!rc)
		rc = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	for (unsigned i = 0; !rc && i < n; i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
	if (!rc)
		rc = maps(ctx, code);
	/* Its own limit on memory, when that is known: without rights it can only be lowered. */
	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2,
				      SCMP_A0(SCMP_CMP_EQ, 0), SCMP_A1(SCMP_CMP_EQ, RLIMIT_DATA));
	/* A thread of this process may be kicked; a monitor that faults may die of its signal. */
	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
				      SCMP_A0(SCMP_CMP_EQ, getpid()));
	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(rt_sigaction), 0);
	/* The driver's own requests (abi/pvhost.h), and nothing of any other descriptor's. */
	if (!rc && ioctls)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
				      SCMP_A1(SCMP_CMP_MASKED_EQ, 0xff00, 0xb700));
	if (!rc)
		rc = seccomp_load(ctx);
	seccomp_release(ctx);
	return rc ? rc : (int)n + 4 + ioctls;
}
