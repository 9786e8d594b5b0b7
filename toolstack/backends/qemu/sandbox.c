/* SPDX-License-Identifier: MIT */
/*
 * A list of what is forbidden, since nobody can say all that a QEMU needs: what makes processes,
 * what looks into others, what changes the host or gives privileges. It is in force for QEMU
 * itself, which inherits it across exec.
 */
#include <asm/sockios.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "toolstack/backends/qemu/pvqemu.h"

static const int forbidden[] = {
	/* other processes */
	SCMP_SYS(fork),
	SCMP_SYS(vfork),
	SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(pidfd_open),
	SCMP_SYS(pidfd_getfd),
	SCMP_SYS(pidfd_send_signal),
	SCMP_SYS(rt_sigqueueinfo),
	SCMP_SYS(rt_tgsigqueueinfo),
	SCMP_SYS(process_mrelease),
	SCMP_SYS(process_madvise),
	SCMP_SYS(move_pages),
	SCMP_SYS(migrate_pages),
	SCMP_SYS(kcmp),
	SCMP_SYS(setpriority),
	SCMP_SYS(setpgid),
	/* privileges and namespaces */
	SCMP_SYS(setuid),
	SCMP_SYS(setgid),
	SCMP_SYS(setreuid),
	SCMP_SYS(setregid),
	SCMP_SYS(setresuid),
	SCMP_SYS(setresgid),
	SCMP_SYS(setfsuid),
	SCMP_SYS(setfsgid),
	SCMP_SYS(setgroups),
	SCMP_SYS(capset),
	SCMP_SYS(unshare),
	SCMP_SYS(setns),
	SCMP_SYS(chroot),
	SCMP_SYS(pivot_root),
	SCMP_SYS(mount),
	SCMP_SYS(umount2),
	SCMP_SYS(open_tree),
	SCMP_SYS(move_mount),
	SCMP_SYS(fsopen),
	SCMP_SYS(fsconfig),
	SCMP_SYS(fsmount),
	SCMP_SYS(fspick),
	SCMP_SYS(mount_setattr),
	/* the kernel and the host */
	SCMP_SYS(bpf),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(keyctl),
	SCMP_SYS(add_key),
	SCMP_SYS(request_key),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(delete_module),
	SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load),
	SCMP_SYS(reboot),
	SCMP_SYS(swapon),
	SCMP_SYS(swapoff),
	SCMP_SYS(acct),
	SCMP_SYS(quotactl),
	SCMP_SYS(syslog),
	SCMP_SYS(settimeofday),
	SCMP_SYS(clock_settime),
	SCMP_SYS(clock_adjtime),
	SCMP_SYS(adjtimex),
	SCMP_SYS(sethostname),
	SCMP_SYS(setdomainname),
	SCMP_SYS(iopl),
	SCMP_SYS(ioperm),
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(io_uring_enter),
	SCMP_SYS(io_uring_register),
	SCMP_SYS(open_by_handle_at),
	SCMP_SYS(personality),
};

/* Whom a descriptor's signals go to, and which: a kill() by another name. */
static int owner_rules(scmp_filter_ctx f)
{
	static const int cmds[] = {F_SETOWN, F_SETOWN_EX, F_SETSIG};
	static const int requests[] = {FIOSETOWN, SIOCSPGRP};
	const unsigned deny = SCMP_ACT_ERRNO(EPERM);
	int rc = 0;

	for (int i = 0; i < 3; i++)
		rc |= seccomp_rule_add(f, deny, SCMP_SYS(fcntl), 1,
				       SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, cmds[i]));
	for (int i = 0; i < 2; i++)
		rc |= seccomp_rule_add(f, deny, SCMP_SYS(ioctl), 1,
				       SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, requests[i]));
	return rc;
}

/* It may signal itself, and make threads. exec is how QEMU begins; what it would run has no more
 * rights than it, and a process of its own cannot be had. */
static int rules(scmp_filter_ctx f)
{
	const unsigned deny = SCMP_ACT_ERRNO(EPERM);
	const pid_t self = getpid();
	int rc = 0;

	for (unsigned i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++)
		if (forbidden[i] >= 0) /* this architecture has it */
			rc |= seccomp_rule_add(f, deny, forbidden[i], 0);
	rc |= seccomp_rule_add(f, deny, SCMP_SYS(kill), 1, SCMP_A0(SCMP_CMP_NE, self));
	rc |= seccomp_rule_add(f, deny, SCMP_SYS(tgkill), 1, SCMP_A0(SCMP_CMP_NE, self));
	rc |= seccomp_rule_add(f, deny, SCMP_SYS(tkill), 0);
	rc |= owner_rules(f);
	/* another's limits: a CPU time of 0 is its end */
	rc |= seccomp_rule_add(f, deny, SCMP_SYS(prlimit64), 1, SCMP_A0(SCMP_CMP_NE, 0));
	rc |= seccomp_rule_add(f, deny, SCMP_SYS(clone), 1,
			       SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
	/* its flags are in memory, where a filter cannot look; glibc goes back to clone */
	rc |= seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	return rc ? -1 : seccomp_load(f);
}

static int filter(void)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
	int rc;

	if (!f)
		return -1;
	rc = rules(f);
	seccomp_release(f);
	if (rc)
		errno = EINVAL;
	return rc ? -1 : 0;
}

/*
 * Started by root it stays that user, since the images are root's, and keeps only the right to
 * open what belongs to others. Without SECBIT_NOROOT exec would give all others back.
 */
static int drop_capabilities(void)
{
	const bool root = geteuid() == 0;
	const uint32_t left = root ? 1U << CAP_DAC_OVERRIDE : 0;
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {{left, left, left}, {0}};

	if (root && prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, 0, 0, 0))
		return -1;
	if (syscall(SYS_capset, &head, data))
		return -1;
	return root ? prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0) : 0;
}

int sandbox(void)
{
	const struct rlimit none = {0, 0};

	setrlimit(RLIMIT_CORE, &none);
	if (drop_capabilities() || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return filter();
}
