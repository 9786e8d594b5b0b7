/* SPDX-License-Identifier: MIT */
/* A guest's filter through the kernel's verifier, and the strictness of port forwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "hypercalls/abi/pavane/netfilter.h"
#include "toolstack/backends/net/net.h"

/* Receive only frames whose byte 20 is 1; by the names that guests have for the instructions. */
static const struct sock_filter only_1[] = {
	{PAVANE_BPF_LD_B_ABS, 0, 0, 20},
	{PAVANE_BPF_JEQ_K, 0, 1, 1},
	{PAVANE_BPF_RET_K, 0, 0, 1},
	{PAVANE_BPF_RET_K, 0, 0, 0},
};
static const struct sock_filter only_long[] = {
	{PAVANE_BPF_LD_LEN, 0, 0, 0},
	{PAVANE_BPF_JGT_K, 0, 1, 30000},
	{PAVANE_BPF_RET_K, 0, 0, 0xffffffff},
	{PAVANE_BPF_RET_K, 0, 0, 0},
};

static bool passes(struct filter *f, uint8_t mark, uint32_t len)
{
	static uint8_t data[NET_MAX_FRAME];
	const struct frame frame = {.data = data, .len = len};

	data[20] = mark;
	return filter_pass(f, &frame);
}

static void test_accept(void **state)
{
	struct filter f = {-1, -1, 0};

	assert_true(passes(&f, 2, 100)); /* none attached */
	assert_int_equal(filter_attach(&f, only_1, 4), 0);
	for (int i = 0; i < 2000; i++) { /* nothing stays behind in the sockets */
		assert_true(passes(&f, 1, 100));
		assert_false(passes(&f, 2, 100));
	}
	assert_int_equal(f.dropped, 2000);
	assert_true(passes(&f, 1, 21));
	assert_false(passes(&f, 1, 20)); /* a load beyond the frame drops it */
	assert_true(passes(&f, 1, NET_MAX_FRAME));
	assert_int_equal(filter_attach(&f, only_long, 4), 0);
	assert_true(passes(&f, 2, 30001));
	assert_false(passes(&f, 1, 30000));
	filter_detach(&f);
	assert_true(passes(&f, 2, 100));
}

static void test_refuse(void **state)
{
	static struct sock_filter large[BPF_MAXINSNS + 1];
	static const struct sock_filter no_return[] = {{PAVANE_BPF_LD_B_ABS, 0, 0, 0}};
	static const struct sock_filter jumps_out[] = {{PAVANE_BPF_JEQ_K, 9, 0, 0},
						       {PAVANE_BPF_RET_K, 0, 0, 1}};
	static const struct sock_filter jumps_far[] = {{PAVANE_BPF_JA, 0, 0, 0xffffffff},
						       {PAVANE_BPF_RET_K, 0, 0, 1}};
	static const struct sock_filter unknown[] = {{0xffff, 0, 0, 0},
						     {PAVANE_BPF_RET_K, 0, 0, 1}};
	static const struct sock_filter no_such_word[] = {{0x60, 0, 0, 16}, /* A = M[16] */
							  {PAVANE_BPF_RET_K, 0, 0, 1}};
	static const struct sock_filter by_zero[] = {{0x34, 0, 0, 0}, /* A /= 0 */
						     {PAVANE_BPF_RET_K, 0, 0, 1}};
	static const struct {
		const struct sock_filter *prog;
		unsigned n;
	} bad[] = {{only_1, 0},	      {only_1, 3},    {no_return, 1},
		   {jumps_out, 2},    {jumps_far, 2}, {unknown, 2},
		   {no_such_word, 2}, {by_zero, 2},   {large, BPF_MAXINSNS + 1}};
	struct filter f = {-1, -1, 0};

	for (unsigned i = 0; i <= BPF_MAXINSNS; i++)
		large[i] = (struct sock_filter){PAVANE_BPF_RET_K, 0, 0, 1};
	assert_int_equal(filter_attach(&f, only_1, 4), 0);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(filter_attach(&f, bad[i].prog, bad[i].n), -EINVAL);
		assert_true(passes(&f, 1, 100)); /* the earlier one is in force */
		assert_false(passes(&f, 2, 100));
	}
	assert_int_equal(filter_attach(&f, large, BPF_MAXINSNS), 0);
	filter_detach(&f);
}

static void test_hostfwd(void **state)
{
	struct hostfwd f[4];
	char why[128];

	assert_int_equal(hostfwd_parse("", f, 4, why, sizeof(why)), 0);
	assert_int_equal(hostfwd_parse("tcp:0.0.0.0:8080-10.0.2.15:80  udp::5353-:53 ", f, 4, why,
				       sizeof(why)),
			 2);
	assert_false(f[0].udp);
	assert_int_equal(f[0].host_addr, 0);
	assert_int_equal(f[0].host_port, 8080);
	assert_int_equal(f[0].guest_addr, inet_addr("10.0.2.15"));
	assert_int_equal(f[0].guest_port, 80);
	assert_true(f[1].udp);
	assert_int_equal(f[1].host_addr, htonl(INADDR_LOOPBACK));
	assert_int_equal(f[1].guest_addr, 0);
	assert_int_equal(f[1].guest_port, 53);
}

static void test_hostfwd_refused(void **state)
{
	static const char *const bad[] = {
		"tcp",
		"8080-:80",
		"sctp::1-:1",
		"tcp:8080-:80",
		"tcp::8080",
		"tcp::8080-80",
		"tcp::0-:80",
		"tcp::65536-:80",
		"tcp::8080-:0",
		"tcp::8080-:",
		"tcp::80a-:80",
		"tcp::-1-:80",
		"tcp:x:8080-:80",
		"tcp:::8080-:80",
		"tcp::+80-:80",
		"tcp:1.2.3:80-:80",
		"tcp:: 80-:80",
		"tcp::80-:80,x",
		"TCP::80-:80",
		"tcp::80-:80 x",
		"tcp::80-a:80",
		"tcp::000080-:80",
		"tcp:127.1:1-:1",
	};
	struct hostfwd f[4];
	char why[128];

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		*why = 0;
		if (hostfwd_parse(bad[i], f, 4, why, sizeof(why)) != -1)
			fail_msg("'%s' is accepted", bad[i]);
		assert_non_null(strstr(why, "hostfwd"));
	}
	assert_int_equal(hostfwd_parse("tcp::1-:1 tcp::2-:1 tcp::3-:1 tcp::4-:1 tcp::5-:1", f, 4,
				       why, sizeof(why)),
			 -1);
	assert_string_equal(why, "hostfwd: too many");
	assert_int_equal(hostfwd_parse("tcp:localhost:1-:1", f, 4, why, sizeof(why)), -1);
	assert_string_equal(why, "hostfwd 'tcp:localhost:1-:1': host: not an IPv4 address");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accept),
		cmocka_unit_test(test_refuse),
		cmocka_unit_test(test_hostfwd),
		cmocka_unit_test(test_hostfwd_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
