/* SPDX-License-Identifier: MIT */
/* What a backend that its guest has taken over can still do: asked by a child in the sandbox. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/victim.h"
#include "toolstack/backends/common/backend.h"

void dev_log(struct dev *d, const char *fmt, ...)
{
}

static int ends[2];

/* The signal that ended the child which did this in the sandbox, 0 if it did not mind. */
static int confined(void (*act)(void))
{
	static const struct backend be = {.name = "test"};
	static struct dev d = {.be = &be};
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (privileges_drop(&d) || sandbox_enter(&d))
			_exit(1);
		act();
		syscall(SYS_exit_group, 0); /* a sanitizer's _exit() does more than that */
	}
	waitpid(pid, &status, 0);
	assert_true(WIFSIGNALED(status) || !WEXITSTATUS(status));
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void flags(void)
{
	fcntl(ends[0], F_SETFL, fcntl(ends[0], F_GETFL) | O_NONBLOCK);
	fcntl(ends[0], F_SETFD, fcntl(ends[0], F_GETFD) | FD_CLOEXEC);
}

/* The kernel sends the owner of a descriptor the signal that was chosen for it. */
static void kill_by_owner(void)
{
	fcntl(ends[0], F_SETSIG, SIGKILL);
	fcntl(ends[0], F_SETOWN, victim);
	fcntl(ends[0], F_SETFL, O_ASYNC | O_NONBLOCK);
	if (write(ends[1], "", 1) < 0)
		_exit(2);
}

static void owner_only(void)
{
	fcntl(ends[0], F_SETOWN, victim);
}

static void lease(void)
{
	fcntl(ends[0], F_SETLEASE, F_RDLCK);
}

static void open_file(void)
{
	open("/etc/passwd", O_RDONLY);
}

static void signal_it(void)
{
	kill(victim, SIGKILL);
}

static void test_calls(void **state)
{
	victim_start();
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(confined(flags), 0);
	assert_int_equal(confined(kill_by_owner), SIGSYS);
	assert_int_equal(confined(owner_only), SIGSYS);
	assert_int_equal(confined(lease), SIGSYS);
	assert_int_equal(confined(open_file), SIGSYS);
	assert_int_equal(confined(signal_it), SIGSYS);
	victim_lives();
}

/* As root, too: what is left can do nothing that another user's process cannot. */
static void test_privileges(void **state)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct caps[2];
	struct dev d = {0};
	pid_t pid = fork();
	int status;

	if (!pid) {
		memset(caps, 0xff, sizeof(caps));
		if (privileges_drop(&d) || syscall(SYS_capget, &head, caps))
			_exit(1);
		_exit(caps[0].effective | caps[0].permitted | caps[1].effective | caps[1].permitted
			      ? 2
			      : 0);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_privileges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
