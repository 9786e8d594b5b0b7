/* SPDX-License-Identifier: MIT */
/* What pvnet's confinement leaves: each question is asked by a child that has confined itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "toolstack/backends/net/device.h"

/* The errno of what `ask` does in a confined child, 0 if it works. */
static int confined(int (*ask)(void))
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		confine_files();
		if (confine_calls())
			_exit(255);
		_exit(ask() < 0 ? errno : 0);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static int resolver(void)
{
	return open("/etc/resolv.conf", O_RDONLY);
}

static int passwd(void)
{
	return open("/etc/passwd", O_RDONLY);
}

static int self(void)
{
	return open("/proc/self/maps", O_RDONLY);
}

static int write_file(void)
{
	return open("/tmp/pvnet-test", O_WRONLY | O_CREAT, 0600);
}

static int inet(void)
{
	return socket(AF_INET, SOCK_STREAM, 0);
}

static int inet6(void)
{
	return socket(AF_INET6, SOCK_DGRAM, 0);
}

static int local(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

static int packet(void)
{
	return socket(AF_PACKET, SOCK_RAW, 0);
}

static int netlink(void)
{
	return socket(AF_NETLINK, SOCK_RAW, 0);
}

static int pair(void)
{
	int sv[2];

	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv);
}

/* A pair that need not stay one: either end can send to any local socket by its name. */
static int loose_pair(void)
{
	int sv[2];

	return socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv);
}

static int stream_pair(void)
{
	int sv[2];

	return socketpair(AF_UNIX, SOCK_STREAM, 0, sv);
}

static struct sockaddr_un outside = {.sun_family = AF_UNIX};

/* What the pair that is left makes of a name. */
static int by_name(void)
{
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv))
		return 0;
	connect(sv[0], (const void *)&outside, sizeof(outside));
	sendto(sv[0], "x", 1, MSG_DONTWAIT, (const void *)&outside, sizeof(outside));
	return 0;
}

static int window_size(void)
{
	struct winsize w;

	return ioctl(0, TIOCGWINSZ, &w);
}

static int tap_offload(void)
{
	return ioctl(-1, TUNSETOFFLOAD, 0UL);
}

static void test_files(void **state)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(confine_files());
	waitpid(pid, &status, 0);
	if (!WEXITSTATUS(status))
		skip(); /* no Landlock */
	assert_int_equal(confined(passwd), EACCES);
	assert_int_equal(confined(self), EACCES);
	if (!access("/etc/resolv.conf", R_OK))
		assert_int_equal(confined(resolver), 0);
}

static void test_calls(void **state)
{
	assert_int_equal(confined(write_file), EACCES);
	assert_int_equal(confined(inet), 0);
	if (inet6() >= 0)
		assert_int_equal(confined(inet6), 0);
	assert_int_equal(confined(local), EACCES);
	assert_int_equal(confined(packet), EACCES);
	assert_int_equal(confined(netlink), EACCES);
	assert_int_equal(confined(pair), 0);
	assert_int_equal(confined(loose_pair), EACCES);
	assert_int_equal(confined(stream_pair), EACCES);
	assert_int_equal(confined(window_size), EACCES);
	assert_int_equal(confined(tap_offload), EBADF); /* the call is let through */
}

static void test_outside(void **state)
{
	const int s = socket(AF_UNIX, SOCK_DGRAM, 0);
	char byte;

	snprintf(outside.sun_path, sizeof(outside.sun_path), "/tmp/test-netconfine-%d", getpid());
	assert_int_equal(bind(s, (const void *)&outside, sizeof(outside)), 0);
	assert_int_equal(confined(by_name), 0);
	assert_int_equal(recv(s, &byte, 1, MSG_DONTWAIT), -1);
	unlink(outside.sun_path);
	close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_outside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
