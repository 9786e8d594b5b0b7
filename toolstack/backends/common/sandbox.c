/* SPDX-License-Identifier: MIT */
/*
 * The sandbox around a backend: its guest writes what it reads, so after set-up this list is all
 * it can do. It opens, connects, executes and signals nothing; what it needs is open already.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "toolstack/backends/common/backend.h"

static const int allowed[] = {
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(readv),
	SCMP_SYS(writev),
	SCMP_SYS(close),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat), /* fstat(), in this libc */
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_pwait2),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(sendmsg),
	SCMP_SYS(recvmsg), /* pvd */
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(brk),
	SCMP_SYS(futex),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep),
	SCMP_SYS(sched_yield),
	SCMP_SYS(getrandom),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
};

/* Not F_SETOWN: with F_SETSIG it is a kill() of any process of this user's, pvd among them. */
static const int fcntls[] = {F_GETFD, F_SETFD, F_GETFL, F_SETFL};

static int add_rules(scmp_filter_ctx ctx, const int *more)
{
	int rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);

	for (unsigned i = 0; !rc && i < sizeof(allowed) / sizeof(allowed[0]); i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
	for (; !rc && more && *more != -1; more++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, *more, 0);
	for (unsigned i = 0; !rc && i < sizeof(fcntls) / sizeof(fcntls[0]); i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
				      SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, fcntls[i]));
	/* memory that is code is never mapped */
	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
				      SCMP_A2(SCMP_CMP_MASKED_EQ, 4, 0));
	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
				      SCMP_A2(SCMP_CMP_MASKED_EQ, 4, 0));
	return rc ? rc : seccomp_load(ctx); /* sets no_new_privs as well */
}

int privileges_drop(struct dev *d)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	const struct __user_cap_data_struct none[2] = {{0}};

	if (!syscall(SYS_capset, &head, none))
		return 0;
	dev_log(d, "cannot drop privileges: %s", strerror(errno));
	return -1;
}

int sandbox_enter(struct dev *d)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int rc = ctx ? add_rules(ctx, d->be->syscalls) : -12;

	if (ctx)
		seccomp_release(ctx);
	if (rc)
		dev_log(d, "sandbox: %s", strerror(-rc));
	return rc ? -1 : 0;
}
