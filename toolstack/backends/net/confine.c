/* SPDX-License-Identifier: MIT */
/*
 * What this process can reach, beyond the sandbox all backends have: libslirp needs sockets, and
 * reads the host's resolv.conf each time it has changed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "toolstack/backends/net/device.h"

#define FILTER_CALLS \
	SCMP_SYS(socketpair), SCMP_SYS(setsockopt), SCMP_SYS(sendto), SCMP_SYS(recvfrom)

const int slirp_syscalls[] = {
	FILTER_CALLS,	       SCMP_SYS(timerfd_settime),
	SCMP_SYS(ioctl),       SCMP_SYS(socket),
	SCMP_SYS(connect),     SCMP_SYS(bind),
	SCMP_SYS(listen),      SCMP_SYS(accept),
	SCMP_SYS(accept4),     SCMP_SYS(getsockname),
	SCMP_SYS(getpeername), SCMP_SYS(getsockopt),
	SCMP_SYS(shutdown),    SCMP_SYS(openat),
	SCMP_SYS(lseek),       -1,
};

const int tap_syscalls[] = {FILTER_CALLS, SCMP_SYS(timerfd_settime), SCMP_SYS(ioctl), -1};

#define ALL_FILES ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1) /* every right of the first version */

/* path, as far as it is there. */
static void permit(int ruleset, const char *path, uint64_t access)
{
	struct landlock_path_beneath_attr rule = {.allowed_access = access};

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return;
	syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	close(rule.parent_fd);
}

/* The file; and, where a service keeps it, its folder: such a service replaces the file. */
static void permit_resolver(int ruleset)
{
	char *real = realpath("/etc/resolv.conf", NULL), *slash;

	permit(ruleset, "/etc/resolv.conf", LANDLOCK_ACCESS_FS_READ_FILE);
	slash = real ? strrchr(real, '/') : NULL;
	if (slash && !strncmp(real, "/run/", 5)) {
		*slash = 0;
		permit(ruleset, real, LANDLOCK_ACCESS_FS_READ_FILE);
	}
	free(real);
}

bool confine_files(void)
{
	const struct landlock_ruleset_attr attr = {.handled_access_fs = ALL_FILES};
	int fd = syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	bool ok;

	if (fd < 0)
		return false;
	permit_resolver(fd);
	permit(fd, "/dev/net/tun", LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE);
	permit(fd, "/dev/urandom", LANDLOCK_ACCESS_FS_READ_FILE);
	ok = !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !syscall(SYS_landlock_restrict_self, fd, 0);
	close(fd);
	return ok;
}

int confine_descriptors(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l))
		return -1;
	if (l.rlim_cur > NET_MAX_FDS)
		l.rlim_cur = NET_MAX_FDS;
	l.rlim_max = l.rlim_cur;
	return setrlimit(RLIMIT_NOFILE, &l);
}

/*
 * A second filter under the common one, which lists whole calls: sockets of IP only, pairs of local
 * ones only, which stay pairs (one of datagrams could send to /dev/log), the ioctls that libslirp
 * and a tap need, files to read only. Anything else fails.
 */
#define NR		offsetof(struct seccomp_data, nr)
#define ARG(n)		offsetof(struct seccomp_data, args[n]) /* its low half */
#define LOAD(at)	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at)
#define UNLESS(v, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, v, 0, skip)
#define ALLOW_IF(v)	UNLESS(v, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define ALLOW		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define DENY		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES)
#define SOCK_TYPE	15 /* without SOCK_CLOEXEC and SOCK_NONBLOCK */

static const struct sock_filter narrow[] = {
	LOAD(NR),
	UNLESS(__NR_socket, 6),
	LOAD(ARG(0)),
	ALLOW_IF(AF_INET),
	ALLOW_IF(AF_INET6),
	DENY,
	UNLESS(__NR_socketpair, 7),
	LOAD(ARG(0)),
	UNLESS(AF_UNIX, 4),
	LOAD(ARG(1)),
	BPF_STMT(BPF_ALU | BPF_AND | BPF_K, SOCK_TYPE),
	ALLOW_IF(SOCK_SEQPACKET),
	DENY,
	UNLESS(__NR_openat, 5),
	LOAD(ARG(2)),
	BPF_STMT(BPF_ALU | BPF_AND | BPF_K, O_ACCMODE),
	ALLOW_IF(O_RDONLY),
	DENY,
	UNLESS(__NR_ioctl, 14),
	LOAD(ARG(1)),
	ALLOW_IF(FIONREAD),
	ALLOW_IF(FIONBIO),
	ALLOW_IF(TUNSETOFFLOAD),
	ALLOW_IF(TUNSETQUEUE),
	ALLOW_IF(TUNATTACHFILTER),
	ALLOW_IF(TUNDETACHFILTER),
	DENY,
	ALLOW,
};

int confine_calls(void)
{
	struct sock_fprog p = {sizeof(narrow) / sizeof(narrow[0]), (struct sock_filter *)narrow};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &p) ? -1
											    : 0;
}
