/* SPDX-License-Identifier: MIT */
/*
 * What a guest that has taken over its process might try, for test_isolation.c: each a function
 * that returns 0 or more if it worked, else -1 with errno.
 */
#ifndef PAVANE_ATTEMPTS_H
#define PAVANE_ATTEMPTS_H

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/victim.h"

/* What there is outside: of the test's own, made before the children. */
static char folder[] = "/tmp/isolation.XXXXXX";
static struct sockaddr_un by_path = {.sun_family = AF_UNIX};
static struct sockaddr_un abstract = {.sun_family = AF_UNIX};
static struct sockaddr_in by_port = {.sin_family = AF_INET};
static int segment, victims_space, a_file;
static long key;

static int open_file(void)
{
	return open("/etc/passwd", O_RDONLY);
}

static int list_root(void)
{
	return open("/", O_RDONLY | O_DIRECTORY);
}

static int make_file(void)
{
	return open("/tmp", O_RDWR | O_TMPFILE, 0600);
}

static int read_proc(void)
{
	return open("/proc/self/maps", O_RDONLY);
}

static int execute(void)
{
	char *argv[] = {"true", NULL};

	return execve("/bin/true", argv, NULL);
}

static int connect_to(int type, const void *to, socklen_t len)
{
	const int s = socket(type, SOCK_STREAM, 0);

	return s < 0 ? -1 : connect(s, to, len);
}

static int connect_path(void)
{
	return connect_to(AF_UNIX, &by_path, sizeof(by_path));
}

static int connect_abstract(void)
{
	return connect_to(AF_UNIX, &abstract, sizeof(abstract));
}

static int connect_port(void)
{
	return connect_to(AF_INET, &by_port, sizeof(by_port));
}

static int make_socket(void)
{
	return socket(AF_INET, SOCK_DGRAM, 0);
}

static int make_pair(void)
{
	int sv[2];

	return socketpair(AF_UNIX, SOCK_STREAM, 0, sv);
}

static int by_kill(void)
{
	return kill(victim, SIGWINCH);
}

static int by_tgkill(void)
{
	return syscall(SYS_tgkill, victim, victim, SIGWINCH);
}

static int by_ptrace(void)
{
	return ptrace(PTRACE_SEIZE, victim, NULL, NULL);
}

static int read_memory(void)
{
	char buf[8];
	struct iovec mine = {buf, sizeof(buf)}, its = {folder, sizeof(buf)};

	return process_vm_readv(victim, &mine, 1, &its, 1, 0);
}

static int by_pidfd(void)
{
	return syscall(SYS_pidfd_open, victim, 0);
}

static int shared_memory(void)
{
	return shmget(segment, 0, 0);
}

static int read_key(void)
{
	char buf[16];

	if (key < 0) { /* no keyrings here */
		errno = EACCES;
		return -1;
	}
	return syscall(SYS_keyctl, KEYCTL_READ, key, buf, sizeof(buf));
}

static int new_user_space(void)
{
	return unshare(CLONE_NEWUSER);
}

static int join_space(void)
{
	return setns(victims_space, CLONE_NEWUTS);
}

static int by_mount(void)
{
	return unshare(CLONE_NEWNS) || mount("none", folder, "tmpfs", 0, NULL) ? -1 : 0;
}

static int by_chroot(void)
{
	return chroot(folder);
}

static int by_hostname(void)
{
	char name[65];

	return gethostname(name, sizeof(name)) ? -1 : sethostname(name, strlen(name));
}

static int by_device(void)
{
	return mknod("/tmp/isolation.null", S_IFCHR | 0600, 1 << 8 | 3) ||
			       unlink("/tmp/isolation.null")
		       ? -1
		       : 0;
}

static int by_fork(void)
{
	pid_t pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0);

	if (!pid)
		syscall(SYS_exit_group, 0);
	return pid;
}

static int map(size_t size, int prot, int flags, int fd)
{
	return mmap(NULL, size, prot, flags, fd, 0) == MAP_FAILED ? -1 : 0;
}

static int map_code(void)
{
	return map(4096, PROT_READ | PROT_EXEC, MAP_SHARED, a_file);
}

static int map_own_code(void)
{
	return map(4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static int map_data(void)
{
	return map(4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

/* Of what a limit on private memory does not count. */
static int map_shared(void)
{
	return map(1UL << 30, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
}

static int map_stack(void)
{
	return map(1UL << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN,
		   -1);
}

static int map_zeros(void)
{
	return map(1UL << 40, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
}

static int map_copies(void)
{
	return map(4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, a_file);
}

/* Under limits_set: more than anybody needs, by whatever way there is; and the limit's end. */
static int map_much(void)
{
	return map(1UL << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		   -1);
}

static int map_little_by_little(void)
{
	for (int i = 0; i < 1024; i++)
		if (map(1UL << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1))
			return -1;
	return 0;
}

static int by_brk(void)
{
	return sbrk(1L << 30) == (void *)-1 ? -1 : 0;
}

static int raise_limit(void)
{
	const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};

	return setrlimit(RLIMIT_DATA, &none);
}

static int other_limit(void)
{
	struct rlimit l;

	return getrlimit(RLIMIT_NOFILE, &l);
}

static int protect_code(void)
{
	return mprotect((void *)((uintptr_t)folder & -4096), 4096,
			PROT_READ | PROT_WRITE | PROT_EXEC);
}

static int new_memfd(void)
{
	return memfd_create("mine", 0);
}

static int by_ioctl(void)
{
	int n;

	return ioctl(victims_space, FIOCLEX, &n);
}

static int device_ioctl(void) /* of /dev/pvhost's kind: not known here, but let through */
{
	return ioctl(victims_space, _IO(0xb7, 0x7f)) < 0 && errno == ENOTTY ? 0 : -1;
}

static int by_prctl(void)
{
	return prctl(PR_SET_DUMPABLE, 1);
}

static int by_fcntl(void)
{
	return fcntl(victims_space, F_GETFD);
}

static int by_dup(void)
{
	return dup(victims_space);
}

static int by_bpf(void)
{
	return syscall(SYS_bpf, 0, NULL, 0) < 0 ? 0 : -1; /* refused, but looked at */
}

static int by_perf(void)
{
	return syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0) < 0 ? 0 : -1;
}

static int by_io_uring(void)
{
	return syscall(SYS_io_uring_setup, 1, NULL) < 0 ? 0 : -1;
}

static int by_userfaultfd(void)
{
	return syscall(SYS_userfaultfd, -1) < 0 ? 0 : -1;
}

static int by_seccomp(void)
{
	return syscall(SYS_seccomp, 0, 1, NULL) < 0 ? 0 : -1;
}

static int by_x32(void)
{
	return syscall(0x40000000 | SYS_getpid) ? 0 : -1;
}

static int by_int80(void)
{
	long nr = 20; /* getpid, of 32-bit programs */

	asm volatile("int $0x80" : "+a"(nr) : : "memory", "r8", "r9", "r10", "r11");
	return nr ? 0 : -1;
}

#endif
