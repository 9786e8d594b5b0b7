/* SPDX-License-Identifier: MIT */
/* A QEMU that its guest has taken over: can it end other processes of its user's, pvd's? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <asm/sockios.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/victim.h"
#include "toolstack/backends/qemu/pvqemu.h"

static int ends[2];

/* The errno of what `act` does in the sandbox, 0 if it works. */
static int confined(int (*act)(void))
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (sandbox())
			_exit(255);
		_exit(act() < 0 ? errno : 0);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static int by_kill(void)
{
	return kill(victim, SIGKILL);
}

static int by_queue(void)
{
	siginfo_t info = {.si_signo = SIGKILL, .si_code = SI_QUEUE};

	return syscall(SYS_rt_sigqueueinfo, victim, SIGKILL, &info);
}

static int by_thread_queue(void)
{
	siginfo_t info = {.si_signo = SIGKILL, .si_code = SI_QUEUE};

	return syscall(SYS_rt_tgsigqueueinfo, victim, victim, SIGKILL, &info);
}

static int by_owner(void)
{
	return fcntl(ends[0], F_SETOWN, victim) | fcntl(ends[0], F_SETSIG, SIGKILL) |
	       fcntl(ends[0], F_SETFL, O_ASYNC) | -(write(ends[1], "", 1) != 1);
}

static int by_owner_ex(void)
{
	return fcntl(ends[0], F_SETOWN_EX, &(struct f_owner_ex){F_OWNER_PID, victim});
}

static int by_ioctl(void)
{
	return ioctl(ends[0], FIOSETOWN, &victim);
}

static int by_limit(void)
{
	return prlimit(victim, RLIMIT_CPU, &(struct rlimit){0, 0}, NULL);
}

static int own_limit(void)
{
	struct rlimit l;

	return getrlimit(RLIMIT_NOFILE, &l);
}

static int own_signal(void)
{
	signal(SIGUSR1, SIG_IGN);
	return raise(SIGUSR1);
}

static int flags(void)
{
	return fcntl(ends[0], F_SETFL, O_NONBLOCK);
}

static void test_others(void **state)
{
	victim_start();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	assert_int_equal(confined(by_kill), EPERM);
	assert_int_equal(confined(by_queue), EPERM);
	assert_int_equal(confined(by_thread_queue), EPERM);
	assert_int_equal(confined(by_owner), EPERM);
	assert_int_equal(confined(by_owner_ex), EPERM);
	assert_int_equal(confined(by_ioctl), EPERM);
	assert_int_equal(confined(by_limit), EPERM);
	victim_lives();
}

static void test_itself(void **state)
{
	assert_int_equal(confined(own_limit), 0);
	assert_int_equal(confined(own_signal), 0);
	assert_int_equal(confined(flags), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
