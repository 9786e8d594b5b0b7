/* SPDX-License-Identifier: MIT */
/*
 * System calls of the program. Each comes here from ring 3; what the policy lets through is made
 * by us, for it, on arguments that were checked: memory must be the program's own, descriptors
 * too (fds.c).
 */
#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fds.h"
#include "sandbox.h"

#define PAGE 4096ul

bool calls_trace;
static uint64_t brk_now;

static uint64_t up(uint64_t x)
{
	return (x + PAGE - 1) & -PAGE;
}

/* --- files by name --- */

static long path_open(int call, uint64_t dirfd, uint64_t name, int flags, int mode)
{
	char path[2 * PATH_MAX] = "";
	size_t cwd = 0, n;

	/* Copied before it is looked at, so that what was judged is what is opened. */
	n = memory_copy(path + PATH_MAX, name, PATH_MAX);
	if (!memchr(path + PATH_MAX, 0, n))
		return n == PATH_MAX ? -ENAMETOOLONG : -EFAULT;
	if (path[PATH_MAX] != '/') {
		if ((int)dirfd != AT_FDCWD)
			return -EACCES;
		if (!getcwd(path, PATH_MAX - 1))
			return -errno;
		cwd = strlen(path);
		if (path[cwd - 1] != '/')
			path[cwd++] = '/';
	}
	memmove(path + cwd, path + PATH_MAX, strlen(path + PATH_MAX) + 1);
	return policy_open(call, path, flags, mode);
}

static long own_openat(int call, uint64_t *a)
{
	return fd_new(path_open(call, a[0], a[1], a[2], a[3]), 0);
}

static long own_open(int call, uint64_t *a)
{
	return fd_new(path_open(call, AT_FDCWD, a[0], a[1], a[2]), 0);
}

static long stat_path(int call, uint64_t dirfd, uint64_t name, uint64_t buffer, int flags)
{
	long fd, ret;

	if (!memory_inside(buffer, sizeof(struct stat)))
		return -EFAULT;
	fd = path_open(call, dirfd, name, O_PATH | (flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0),
		       0);
	if (fd < 0)
		return fd;
	ret = pv_host_call(SYS_newfstatat, fd, (long)"", buffer, AT_EMPTY_PATH, 0, 0);
	close(fd);
	return ret;
}

static long own_newfstatat(int call, uint64_t *a)
{
	char first;

	if (!(a[3] & AT_EMPTY_PATH) || memory_copy(&first, a[1], 1) != 1 || first)
		return stat_path(call, a[0], a[1], a[2], a[3]);
	if (!memory_inside(a[2], sizeof(struct stat)))
		return -EFAULT;
	return pv_host_call(SYS_newfstatat, fd_host(a[0]), (long)"", a[2], AT_EMPTY_PATH, 0, 0);
}

static long own_stat(int call, uint64_t *a)
{
	return stat_path(call, AT_FDCWD, a[0], a[1], 0);
}

static long own_lstat(int call, uint64_t *a)
{
	return stat_path(call, AT_FDCWD, a[0], a[1], AT_SYMLINK_NOFOLLOW);
}

/* --- memory --- */

static long own_brk(int call, uint64_t *a)
{
	const uint64_t old = up(brk_now), new = up(a[0]);

	if (a[0] < program_end || !memory_inside(program_end, a[0] - program_end) ||
	    (new > old &&memory_give(old, new - old, PROT_READ | PROT_WRITE)) ||
	    (new < old &&memory_take(new, old - new)))
		return brk_now;
	brk_now = a[0];
	return brk_now;
}

/* Only fresh memory: that of files is left out, as it may change under our eyes. */
static long own_mmap(int call, uint64_t *a)
{
	const uint64_t size = up(a[1]);
	uint64_t va = a[0];
	int ret;

	if ((a[3] & (MAP_ANONYMOUS | MAP_SHARED)) != MAP_ANONYMOUS)
		return -EACCES;
	if (!(a[3] & MAP_FIXED))
		va = memory_find(size);
	ret = va ? memory_give(va, size, a[2] & 7) : -ENOMEM;
	return ret ?: (long)va;
}

static long own_munmap(int call, uint64_t *a)
{
	return memory_take(a[0], up(a[1]));
}

static long own_mprotect(int call, uint64_t *a)
{
	return memory_protect(a[0], up(a[1]), a[2] & 7);
}

/* --- the rest --- */

static long own_exit(int call, uint64_t *a)
{
	sandbox_end(a[0] & 0xff);
	return 0;
}

static long own_arch_prctl(int call, uint64_t *a)
{
	if (a[0] != ARCH_SET_FS)
		return -EINVAL;
	if (a[1] >> 47) /* not canonical: loading it would be a fault of ours */
		return -EPERM;
	pv_user_set_fs(a[1]);
	return 0;
}

/*
 * Signals and threads: a handler that the kernel knew of would run outside of ring 3, so the
 * kernel hears of none.
 */
static long own_ignore(int call, uint64_t *a)
{
	return 0;
}

/*
 * Arguments: n a number; f a descriptor; b memory of as many bytes as the next argument says;
 * t, o, s, u memory for a timespec or timeval, an off_t, a struct stat, a struct utsname.
 */
#define CALL(name, args)                             \
	{                                            \
#name, SYS_##name, args, NULL, false \
	}
#define OWN(name, f)                            \
	{                                       \
#name, SYS_##name, "", f, false \
	}
#define FILES(name, f)                         \
	{                                      \
#name, SYS_##name, "", f, true \
	}
const struct call calls[] = {
	CALL(read, "fbn"),
	CALL(write, "fbn"),
	CALL(lseek, "fnn"),
	CALL(fstat, "fs"),
	CALL(getdents64, "fbn"),
	CALL(sendfile, "ffon"),
	CALL(getpid, ""),
	CALL(getppid, ""),
	CALL(gettid, ""),
	CALL(getuid, ""),
	CALL(geteuid, ""),
	CALL(getgid, ""),
	CALL(getegid, ""),
	CALL(getcwd, "bn"),
	CALL(uname, "u"),
	CALL(getrandom, "bnn"),
	CALL(time, "o"),
	CALL(gettimeofday, "tt"),
	CALL(clock_gettime, "nt"),
	CALL(nanosleep, "tt"),
	CALL(clock_nanosleep, "nntt"),
	CALL(sched_yield, ""),
	FILES(open, own_open),
	FILES(openat, own_openat),
	FILES(stat, own_stat),
	FILES(lstat, own_lstat),
	FILES(newfstatat, own_newfstatat),
	OWN(close, own_close),
	OWN(dup, own_dup),
	OWN(dup2, own_dup2),
	OWN(fcntl, own_fcntl),
	OWN(ioctl, own_ioctl),
	OWN(poll, own_poll),
	OWN(brk, own_brk),
	OWN(mmap, own_mmap),
	OWN(munmap, own_munmap),
	OWN(mprotect, own_mprotect),
	OWN(arch_prctl, own_arch_prctl),
	OWN(exit, own_exit),
	OWN(exit_group, own_exit),
	OWN(rt_sigaction, own_ignore),
	OWN(rt_sigprocmask, own_ignore),
	OWN(set_tid_address, own_ignore),
	OWN(set_robust_list, own_ignore),
};
const int nr_calls = sizeof(calls) / sizeof(calls[0]);
_Static_assert(sizeof(calls) / sizeof(calls[0]) <= MAX_CALLS, "too many calls");

void calls_init(void)
{
	fds_init();
	brk_now = program_end;
}

/* A null pointer is passed on: there is nothing of ours, and the kernel knows what it means. */
static bool pointer_good(uint64_t va, char what, uint64_t next)
{
	const uint64_t size = what == 'b'   ? next
			      : what == 't' ? 16
			      : what == 'o' ? 8
			      : what == 's' ? sizeof(struct stat)
					    : 390;

	return !va || memory_inside(va, size);
}

static long forward(const struct call *c, uint64_t *a)
{
	for (int i = 0; c->args[i]; i++) {
		if (c->args[i] == 'f') {
			if (fd_host(a[i]) < 0)
				return -EBADF;
			a[i] = fd_host(a[i]);
		} else if (c->args[i] != 'n' && !pointer_good(a[i], c->args[i], a[i + 1])) {
			return -EFAULT;
		}
	}
	return pv_host_call(c->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

void on_syscall(struct pv_frame *f)
{
	uint64_t a[7] = {f->rdi, f->rsi, f->rdx, f->r10, f->r8, f->r9};
	const uint64_t nr = f->rax;
	const char *name = "?";
	struct verdict v;
	int call = nr_calls;

	while (--call >= 0 && (uint64_t)calls[call].nr != nr)
		;
	v = policy_of(call);
	if (call >= 0)
		name = calls[call].name;
	if (v.action == ALLOW) {
		f->rax = calls[call].own ? calls[call].own(call, a) : forward(&calls[call], a);
	} else if (v.action == REFUSE) {
		f->rax = -v.error;
	} else {
		fprintf(stderr, "sandbox: the program ends: system call %lu (%s) is not for it\n",
			(long)nr, name);
		sandbox_end(128 + 31); /* SIGSYS */
	}
	if (calls_trace)
		fprintf(stderr, "sandbox: %s (%lu) %#lx %#lx %#lx: %ld\n", name, (long)nr,
			(long)f->rdi, (long)f->rsi, (long)f->rdx, (long)f->rax);
}
