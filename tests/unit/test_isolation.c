/* SPDX-License-Identifier: MIT */
/*
 * What a guest that has taken over its pvdom can still do. Each attempt is made by a child under
 * one line of the isolation alone, which must hold by itself, and by one under none, which must
 * succeed: else the attempt shows nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hypercalls/pvdom/namespaces.h"
#include "hypercalls/pvdom/pvdom.h"
#include "tests/unit/attempts.h"

#define FREE	-1 /* this line does not keep it, another does */
#define ROOT	1  /* only root's process can do that at all */
#define NOWHERE 2  /* depends on the kernel: shows nothing when it fails outside */

/*
 * The errno under the namespaces (and in which of them), under Landlock (from which version on),
 * and without capabilities. Under the filter each is the end of the process.
 */
static const struct attempt {
	const char *what;
	int (*act)(void);
	int flags;
	const char *space;
	int spaces, version, landlock, caps;
} attempts[] = {
	{"open a file", open_file, 0, "mnt", ENOENT, 1, EACCES, FREE},
	{"list a folder", list_root, 0, "mnt", 0, 1, EACCES, FREE}, /* there is an empty one */
	{"make a file", make_file, 0, "mnt", ENOENT, 1, EACCES, FREE},
	{"read /proc", read_proc, 0, "mnt", ENOENT, 1, EACCES, FREE},
	{"execute", execute, 0, "mnt", ENOENT, 1, EACCES, FREE},
	{"connect to a path", connect_path, 0, "mnt", ENOENT, 1, FREE, FREE},
	{"connect to a name", connect_abstract, 0, "net", ECONNREFUSED, 6, EPERM, FREE},
	{"connect to a port", connect_port, 0, "net", ENETUNREACH, 4, EACCES, FREE},
	{"kill", by_kill, 0, "pid", ESRCH, 6, EPERM, FREE},
	{"tgkill", by_tgkill, 0, "pid", ESRCH, 6, EPERM, FREE},
	{"ptrace", by_ptrace, 0, "pid", ESRCH, 1, EPERM, FREE},
	{"process_vm_readv", read_memory, 0, "pid", ESRCH, 1, EPERM, FREE},
	{"pidfd_open", by_pidfd, 0, "pid", ESRCH, 1, FREE, FREE},
	{"System V memory", shared_memory, 0, "ipc", ENOENT, 1, FREE, FREE},
	{"read a key", read_key, NOWHERE, "user", EACCES, 1, FREE, FREE},
	{"a user namespace", new_user_space, NOWHERE, "user", EPERM, 1, FREE, FREE},
	{"join a namespace", join_space, ROOT, "uts", EPERM, 1, FREE, EPERM},
	{"mount", by_mount, ROOT, "user", EPERM, 1, EPERM, EPERM},
	{"chroot", by_chroot, ROOT, "mnt", ENOENT, 1, FREE, EPERM},
	{"sethostname", by_hostname, ROOT, "uts", EPERM, 1, FREE, EPERM},
	{"make a device", by_device, ROOT, "mnt", ENOENT, 1, EACCES, EPERM},
	{"socket", make_socket, 0, NULL, FREE, 1, FREE, FREE},
	{"socketpair", make_pair, 0, NULL, FREE, 1, FREE, FREE},
	{"fork", by_fork, 0, NULL, FREE, 1, FREE, FREE},
	{"mprotect", protect_code, 0, NULL, FREE, 1, FREE, FREE},
	{"memfd_create", new_memfd, 0, NULL, FREE, 1, FREE, FREE},
	{"ioctl", by_ioctl, 0, NULL, FREE, 1, FREE, FREE},
	{"code of its own", map_own_code, 0, NULL, FREE, 1, FREE, FREE},
	{"memory shared with nobody", map_shared, 0, NULL, FREE, 1, FREE, FREE},
	{"a stack", map_stack, 0, NULL, FREE, 1, FREE, FREE},
	{"memory to read only", map_zeros, 0, NULL, FREE, 1, FREE, FREE},
	{"a private copy of a file", map_copies, 0, NULL, FREE, 1, FREE, FREE},
	{"another limit", other_limit, 0, NULL, FREE, 1, FREE, FREE},
	{"prctl", by_prctl, 0, NULL, FREE, 1, FREE, FREE},
	{"fcntl", by_fcntl, 0, NULL, FREE, 1, FREE, FREE},
	{"dup", by_dup, 0, NULL, FREE, 1, FREE, FREE},
	{"bpf", by_bpf, 0, NULL, FREE, 1, FREE, FREE},
	{"perf_event_open", by_perf, 0, NULL, FREE, 1, FREE, FREE},
	{"io_uring", by_io_uring, 0, NULL, FREE, 1, FREE, FREE},
	{"userfaultfd", by_userfaultfd, 0, NULL, FREE, 1, FREE, FREE},
	{"seccomp", by_seccomp, 0, NULL, FREE, 1, FREE, FREE},
	{"an x32 call", by_x32, NOWHERE, NULL, FREE, 1, FREE, FREE},
	{"int 0x80", by_int80, NOWHERE, NULL, FREE, 1, FREE, FREE},
};

#define NR (sizeof(attempts) / sizeof(attempts[0]))

/* ---- the lines, each by itself ---- */

static char *spaces; /* shared with the children: the names of those they got */

static bool nothing(void)
{
	return true;
}

static bool enter_spaces(void)
{
	namespaces_enter(spaces, 64);
	return capabilities_drop();
}

static bool enter_landlock(void)
{
	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && landlock_enter();
}

static bool filter(void) /* the tightest */
{
	return sandbox_enter(false, false) > 0;
}

static bool filter_code(void)
{
	return sandbox_enter(false, true) > 0;
}

static bool bounded(void)
{
	static const struct domain d = {.nr_vcpus = 1};

	if (!limits_open())
		return false;
	limits_measure();
	limits_set(&d, 0);
	return capabilities_drop();
}

static bool filter_bounded(void) /* as pvdom: the limit is set in the sandbox */
{
	static const struct domain d = {.nr_vcpus = 1};

	if (!limits_open() || !capabilities_drop())
		return false;
	limits_measure();
	if (sandbox_enter(false, false) <= 0)
		return false;
	limits_set(&d, 0);
	return true;
}

static bool filter_ioctls(void)
{
	return sandbox_enter(true, true) > 0;
}

#define NOT_THERE 255 /* the line is not to be had here */

/* What came of `act` under a line: 0, the errno, or 256 + the signal that ended it. */
static int outcome(bool (*line)(void), int (*act)(void))
{
	const pid_t pid = line == enter_spaces ? namespaces_fork() : fork();
	int status, rc;

	if (!pid) {
		rc = !line() ? NOT_THERE : act() < 0 ? errno : 0;
		syscall(SYS_exit_group, rc); /* a sanitizer's _exit() does more than that */
	}
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
}

static bool has(const char *names, const char *name)
{
	const char *at = strstr(names, name);

	return at && (at == names || at[-1] == ' ') &&
	       (!at[strlen(name)] || at[strlen(name)] == ' ');
}

static unsigned wrong;

static void expect(const char *line, const struct attempt *a, int got, int want)
{
	if (got == want)
		return;
	print_error("%s, %s: %d, not %d\n", line, a->what, got, want);
	wrong++;
}

static void judge(void)
{
	const unsigned n = wrong;

	wrong = 0;
	assert_int_equal(n, 0);
}

/* Root in a container may have no rights either. */
static bool privileged(void)
{
	return !outcome(nothing, by_mount);
}

static void test_nothing(void **state)
{
	const bool root = privileged();

	for (const struct attempt *a = attempts; a < attempts + NR; a++)
		if (!(a->flags & NOWHERE) && (root || !(a->flags & ROOT)))
			expect("free", a, outcome(nothing, a->act), 0);
	judge();
}

static void test_namespaces(void **state)
{
	if (outcome(enter_spaces, map_data) == NOT_THERE || !*spaces)
		skip();
	for (const struct attempt *a = attempts; a < attempts + NR; a++) {
		const int got = a->space ? outcome(enter_spaces, a->act) : 0;

		if (a->space && a->spaces != FREE && has(spaces, a->space))
			expect("namespaces", a, got, a->spaces);
	}
	judge();
}

/* Does the host allow them all? Asked without what is tested. */
static bool host_allows(void)
{
	const int flags = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
			  CLONE_NEWCGROUP;
	const pid_t pid =
		syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, 0);
	int status = 1;

	if (!pid)
		syscall(SYS_exit_group, unshare(flags) || mount("none", "/tmp", "tmpfs", 0, NULL));
	return waitpid(pid, &status, 0) == pid && !status;
}

static void test_all_namespaces(void **state)
{
	static const char *const names[] = {"user", "pid", "mnt", "net", "ipc", "uts", "cgroup"};

	if (!host_allows())
		skip();
	outcome(enter_spaces, map_data);
	for (int i = 0; i < 7; i++)
		assert_true(has(spaces, names[i]));
}

/* A process that owns nothing of the host's: what does its pid, its user mean there? */
static void test_whose(void **state)
{
	int status;
	const pid_t pid = namespaces_fork();

	if (!pid)
		syscall(SYS_exit_group,
			!enter_spaces() || (has(spaces, "user") && geteuid() != 65534) ||
				(has(spaces, "pid") && (getpid() != 1 || getppid())));
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
}

static void test_landlock(void **state)
{
	const int version = syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
	const bool root = privileged();

	if (version < 1)
		skip();
	for (const struct attempt *a = attempts; a < attempts + NR; a++)
		if (a->landlock != FREE && version >= a->version && (root || !(a->flags & ROOT)))
			expect("Landlock", a, outcome(enter_landlock, a->act), a->landlock);
	judge();
}

static void test_capabilities(void **state)
{
	for (const struct attempt *a = attempts; a < attempts + NR; a++)
		if (a->caps != FREE)
			expect("no capabilities", a, outcome(capabilities_drop, a->act), a->caps);
	judge();
}

static void test_filter(void **state)
{
	for (const struct attempt *a = attempts; a < attempts + NR; a++)
		expect("seccomp", a, outcome(filter, a->act), 256 + SIGSYS);
	judge();
	victim_lives();
}

/* What differs between the providers: the device's ioctls, and memory to run. */
static void test_providers(void **state)
{
	assert_int_equal(outcome(filter, map_data), 0);
	assert_int_equal(outcome(filter, map_code), 256 + SIGSYS);
	assert_int_equal(outcome(filter_code, map_code), 0);
	assert_int_equal(outcome(filter_code, map_own_code), 256 + SIGSYS);
	assert_int_equal(outcome(filter_code, protect_code), 256 + SIGSYS);
	assert_int_equal(outcome(filter_code, device_ioctl), 256 + SIGSYS);
	assert_int_equal(outcome(filter_ioctls, device_ioctl), 0);
	assert_int_equal(outcome(filter_ioctls, by_ioctl), 256 + SIGSYS);
}

/* Memory of its own has a bound, which the process cannot raise, and below which there is some. */
static void test_bound(void **state)
{
	assert_int_equal(outcome(nothing, map_much), 0);
	assert_int_equal(outcome(nothing, map_little_by_little), 0);
	assert_int_equal(outcome(nothing, by_brk), 0);
	for (int i = 0; i < 2; i++) {
		bool (*const line)(void) = i ? filter_bounded : bounded;

		assert_int_equal(outcome(line, map_data), 0);
		assert_int_equal(outcome(line, map_much), ENOMEM);
		assert_int_equal(outcome(line, map_little_by_little), ENOMEM);
		assert_int_equal(outcome(line, by_brk), ENOMEM);
		assert_int_equal(outcome(line, raise_limit), EPERM);
	}
}

static int listen_on(struct sockaddr *a, socklen_t len)
{
	const int s = socket(a->sa_family, SOCK_STREAM, 0);

	return s < 0 || bind(s, a, len) || listen(s, 64) || getsockname(s, a, &len) ? -1 : s;
}

static int outside(void **state)
{
	char path[40];
	int id;

	spaces = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (spaces == MAP_FAILED || !mkdtemp(folder))
		return -1;
	snprintf(by_path.sun_path, sizeof(by_path.sun_path), "%s/socket", folder);
	snprintf(abstract.sun_path + 1, sizeof(abstract.sun_path) - 1, "isolation.%d", getpid());
	by_port.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a_file = memfd_create("file", MFD_CLOEXEC);
	victim_start();
	segment = getpid();
	id = shmget(segment, 4096, IPC_CREAT | 0600);
	snprintf(path, sizeof(path), "/proc/%d/ns/uts", victim);
	victims_space = open(path, O_RDONLY);
	key = syscall(SYS_add_key, "user", "isolation", "secret", 6, KEY_SPEC_SESSION_KEYRING);
	*state = (void *)(intptr_t)id;
	return listen_on((void *)&by_path, sizeof(by_path)) < 0 ||
	       listen_on((void *)&abstract, sizeof(abstract)) < 0 ||
	       listen_on((void *)&by_port, sizeof(by_port)) < 0 || id < 0 || victims_space < 0 ||
	       ftruncate(a_file, 4096);
}

static int gone(void **state)
{
	unlink(by_path.sun_path);
	rmdir(folder);
	syscall(SYS_keyctl, KEYCTL_REVOKE, key);
	return shmctl((intptr_t)*state, IPC_RMID, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),	   cmocka_unit_test(test_all_namespaces),
		cmocka_unit_test(test_namespaces), cmocka_unit_test(test_whose),
		cmocka_unit_test(test_landlock),   cmocka_unit_test(test_capabilities),
		cmocka_unit_test(test_filter),	   cmocka_unit_test(test_providers),
		cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests(tests, outside, gone);
}
