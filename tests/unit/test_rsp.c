/* SPDX-License-Identifier: MIT */
/* pvctl gdb's protocol: packets in, packets out, on a target that is a few arrays. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "toolstack/pvctl/rsp.h"

#define BASE 0x400000UL

static struct rsp rsp;
static struct rsp_regs regs[2];
static uint8_t memory[256];
static char sent[65536];
static size_t sent_len;
static enum rsp_action resumed[RSP_THREADS + 1];
static unsigned resumes, interrupts, detaches, kills, writes;
static bool second_alive;
static uint64_t point_va, point_n;
static int point_kind, point_set;

static bool alive(void *ctx, unsigned t)
{
	return t == 1 || second_alive;
}

static void describe(void *ctx, unsigned t, char *buf, size_t size)
{
	snprintf(buf, size, "vCPU %u", t - 1);
}

static bool regs_read(void *ctx, unsigned t, struct rsp_regs *r)
{
	*r = regs[t - 1];
	return true;
}

static bool regs_write(void *ctx, unsigned t, const struct rsp_regs *r)
{
	regs[t - 1] = *r;
	writes++;
	return true;
}

static size_t inside(uint64_t va, size_t n)
{
	if (va < BASE || va >= BASE + sizeof(memory))
		return 0;
	return n < BASE + sizeof(memory) - va ? n : BASE + sizeof(memory) - va;
}

static size_t memory_read(void *ctx, unsigned t, uint64_t va, void *buf, size_t n)
{
	n = inside(va, n);
	memcpy(buf, memory + (n ? va - BASE : 0), n);
	return n;
}

static size_t memory_write(void *ctx, unsigned t, uint64_t va, const void *buf, size_t n)
{
	n = inside(va, n);
	memcpy(memory + (n ? va - BASE : 0), buf, n);
	return n;
}

static int point(void *ctx, unsigned t, enum rsp_point kind, uint64_t va, uint64_t n, bool set)
{
	point_kind = kind;
	point_va = va;
	point_n = n;
	point_set = set;
	return kind == RSP_ACCESS ? ENOSYS : inside(va, 1) ? 0 : EFAULT;
}

static bool resume(void *ctx, const enum rsp_action action[RSP_THREADS + 1])
{
	memcpy(resumed, action, sizeof(resumed));
	resumes++;
	return true;
}

static void interrupt(void *ctx)
{
	interrupts++;
}

static void detach(void *ctx)
{
	detaches++;
}

static void kill_it(void *ctx)
{
	kills++;
}

static void out(void *ctx, const void *bytes, size_t n)
{
	assert_true(sent_len + n < sizeof(sent));
	memcpy(sent + sent_len, bytes, n);
	sent_len += n;
	sent[sent_len] = 0;
}

static const struct rsp_target target = {2,	      alive,	    describe, regs_read, regs_write,
					 memory_read, memory_write, point,    resume,	 interrupt,
					 detach,      kill_it,	    out};

static int setup(void **state)
{
	memset(regs, 0, sizeof(regs));
	memset(resumed, 0, sizeof(resumed));
	for (unsigned i = 0; i < sizeof(memory); i++)
		memory[i] = i;
	resumes = interrupts = detaches = kills = writes = 0;
	second_alive = true;
	sent_len = 0;
	sent[0] = 0;
	rsp_init(&rsp, &target, NULL,
		 (struct rsp_stop){.why = RSP_SIGNALLED, .thread = 1, .value = RSP_SIGTRAP});
	return 0;
}

static void feed(const char *bytes, size_t n)
{
	sent_len = 0;
	sent[0] = 0;
	rsp_input(&rsp, (const uint8_t *)bytes, n);
}

static void feed_packet(const char *text, size_t n)
{
	char *p = malloc(n + 8);
	uint8_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += text[i];
	p[0] = '$';
	memcpy(p + 1, text, n);
	sprintf(p + 1 + n, "#%02x", sum);
	feed(p, n + 4);
	free(p);
}

/* What was sent is the acknowledgement and one packet of this text, with a right checksum. */
static void assert_reply(const char *text)
{
	const size_t n = strlen(text);
	uint8_t sum = 0;
	char end[4];

	for (size_t i = 0; i < n; i++)
		sum += text[i];
	sprintf(end, "#%02x", sum);
	assert_int_equal(sent_len, n + 5);
	assert_memory_equal(sent, "+$", 2);
	assert_memory_equal(sent + 2, text, n);
	assert_memory_equal(sent + 2 + n, end, 3);
}

static void ask(const char *text, const char *reply)
{
	feed_packet(text, strlen(text));
	assert_reply(reply);
}

static void packets(void **state)
{
	feed("$qAttached#8f", 13);
	assert_reply("1");
	feed("noise+$qAtt$qAttached#8F", 24); /* a packet cut short, and gdb's capitals */
	assert_reply("1");
	feed("$qAttached#8e", 13);
	assert_string_equal(sent, "-");
	feed("$qAttached#zz", 13);
	assert_string_equal(sent, "-");
	feed("$\x10#zz", 5); /* no digits, so no checksum, whatever the sum */
	assert_string_equal(sent, "-");
	ask("qAttached", "1");
	feed("-", 1); /* once more */
	assert_string_equal(sent, "$1#31");
	for (const char *p = "$qAttached#8f"; *p; p++) { /* in pieces */
		feed(p, 1);
		assert_true(!sent_len || !p[1]);
	}
	assert_reply("1");
	ask("vMustReplyEmpty", "");
	ask("", "");
}

static void packets_too_long(void **state)
{
	static char big[RSP_PACKET + 100];

	memset(big, 'm', sizeof(big));
	feed_packet(big, sizeof(big));
	assert_string_equal(sent, "-");
	memcpy(big, "X400000,0:", 10);
	feed_packet(big, RSP_PACKET);
	assert_reply("E16"); /* fits, and has more bytes than it says */
	ask("qAttached", "1");
}

static void no_acknowledgement(void **state)
{
	ask("QStartNoAckMode", "OK");
	feed_packet("qAttached", 9);
	assert_string_equal(sent, "$1#31");
}

static void features(void **state)
{
	char xml[8192], *all = calloc(1, sizeof(xml)), text[64];
	const size_t size = rsp_target_xml(xml, sizeof(xml));

	assert_true(size > 1000 && size < sizeof(xml) - 1);
	for (size_t at = 0; at < size; at += 100) {
		sprintf(text, "qXfer:features:read:target.xml:%zx,64", at);
		feed_packet(text, strlen(text));
		assert_true(sent[2] == (at + 100 < size ? 'm' : 'l'));
		assert_true(sent_len < 300);
		strncat(all, sent + 3, sent_len - 6);
	}
	assert_string_equal(all, xml); /* none of its characters needs an escape */
	free(all);
	ask("qXfer:features:read:target.xml:ffffff,64", "E16");
	ask("qXfer:features:read:other.xml:0,64", "E00");
	ask("qSupported:hwbreak+;swbreak+", "PacketSize=4000;QStartNoAckMode+;qXfer:features:read+;"
					    "vContSupported+;swbreak+;hwbreak+");
	assert_int_equal(rsp_target_xml(xml, 100), 100);
}

static void registers(void **state)
{
	char all[4096];
	unsigned x = 0;

	regs[0].gpr[0] = 0x1122334455667788;
	regs[0].rip = 0x401000;
	regs[0].rflags = 0x246;
	ask("p0", "8877665544332211");
	ask("p10", "0010400000000000");
	ask("p11", "46020000");
	ask("p18", "xxxxxxxxxxxxxxxxxxxx");
	ask("pffff", "E0e");
	ask("P18=11223344556677889900", "OK"); /* not known, so not taken */
	assert_int_equal(regs[0].st[0][0], 0);
	regs[0].vectors = true;
	ask("P18=11223344556677889900", "OK");
	ask("p18", "11223344556677889900");
	ask("P18=xxxxxxxxxxxxxxxxxxxx", "E16");
	ask("P2e=112233445566778899aabbccddeeff00", "OK");
	assert_int_equal(regs[0].xmm[1][15], 0);
	assert_int_equal(regs[0].xmm[1][14], 0xff);
	ask("p2e", "112233445566778899aabbccddeeff00");
	regs[0].vectors = false;
	ask("P10=0020400000000000", "OK");
	assert_int_equal(regs[0].rip, 0x402000);
	assert_int_equal(writes, 4);
	ask("P10=00204000", "E16");
	ask("P10=00204000000000zz", "E16");
	ask("P10", "E16");
	ask("P18=00", "E16");
	ask("P2c=ffffffffffffffff", "OK"); /* cr3 stays */
	assert_int_equal(regs[0].cr3, 0);
	feed_packet("g", 1);
	memcpy(all, sent + 2, sent_len - 5);
	all[sent_len - 5] = 0;
	for (char *p = all; *p; p++)
		x += *p == 'x';
	assert_int_equal(x, 2 * (8 * 10 + 8 * 4 + 16 * 16 + 4));
	memmove(all + 1, all, strlen(all) + 1);
	all[0] = 'G';
	memset(all + 1, '1', 16);
	ask(all, "OK");
	assert_int_equal(regs[0].gpr[0], 0x1111111111111111);
	assert_int_equal(regs[0].rip, 0x402000);
	strcat(all, "00");
	ask(all, "E16");
}

static void memory_access(void **state)
{
	ask("m400010,4", "10111213");
	ask("m4000fe,8", "feff"); /* as much as there is */
	ask("m500000,4", "E0e");
	ask("m400010", "E16");
	ask("m400010,4x", "E16");
	ask("m11112222333344445,1", "E16");
	ask("M400010,2:abcd", "OK");
	assert_int_equal(memory[0x10], 0xab);
	assert_int_equal(memory[0x11], 0xcd);
	ask("M400010,2:ab", "E16");
	ask("M4000ff,2:abcd", "E0e");
	feed_packet("X400020,4:\0}\x03}\x04x", 16); /* '}' is an escape */
	assert_reply("OK");
	assert_memory_equal(memory + 0x20, "\0#$x", 4);
	ask("X400020,0:", "OK"); /* gdb asks whether there is X */
	feed_packet("m400000,ffffffffffffffff", 24);
	assert_int_equal(sent_len, 5 + 2 * sizeof(memory));
}

static void breakpoints(void **state)
{
	ask("Z0,400010,1", "OK");
	assert_true(point_set && point_kind == RSP_SOFTWARE && point_va == 0x400010);
	ask("z0,400010,1", "OK");
	assert_false(point_set);
	ask("Z0,900000,1", "E0e");
	ask("Z2,400010,8", "OK");
	assert_true(point_set && point_kind == RSP_WRITE && point_n == 8);
	ask("Z1,400010,3", "OK");
	assert_true(point_kind == RSP_HARDWARE && point_n == 1);
	ask("Z4,300010,8", ""); /* not here */
	ask("Z9,400010,8", "");
	ask("Z0,400010", "E16");
	ask("Z", "E16");
}

static void thread_list(void **state)
{
	ask("qfThreadInfo", "m1");
	ask("qsThreadInfo", "m2");
	ask("qsThreadInfo", "l");
	ask("qThreadExtraInfo,2", "764350552031");
	ask("T2", "OK");
	ask("Hg2", "OK");
	ask("qC", "QC2");
	second_alive = false;
	ask("T2", "E16");
	ask("m400010,4", "E16");
	ask("Hg2", "E16");
	ask("Hg21", "E16");
	ask("Hgffffffff", "E16");
	ask("Hx1", "E16");
	ask("Hg1", "OK");
	ask("Hc-1", "OK");
	ask("qfThreadInfo", "m1");
	ask("qsThreadInfo", "l");
	ask("qThreadExtraInfo,2", "E16");
}

static void resuming(void **state)
{
	ask("vCont?", "vCont;c;C;s;S");
	ask("?", "T05thread:1;06:0000000000000000;07:0000000000000000;10:0000000000000000;");
	feed_packet("vCont;s:2;c", 11);
	assert_string_equal(sent, "+");
	assert_int_equal(resumed[1], RSP_CONTINUE);
	assert_int_equal(resumed[2], RSP_STEP);
	feed("-", 1); /* there is nothing to send again */
	assert_int_equal(sent_len, 0);
	feed_packet("g", 1); /* not while it runs */
	assert_string_equal(sent, "+");
	feed("\x03", 1);
	assert_int_equal(interrupts, 1);
}

static void stops(void **state)
{
	ask("qSupported:multiprocess+;swbreak+;hwbreak+",
	    "PacketSize=4000;QStartNoAckMode+;qXfer:features:read+;vContSupported+;swbreak+;"
	    "hwbreak+");
	feed("\x03", 1); /* nothing runs */
	assert_int_equal(interrupts, 0);
	feed_packet("vCont;S05:2", 11);
	assert_int_equal(resumed[1], RSP_STAY);
	assert_int_equal(resumed[2], RSP_STEP);
	sent_len = 0;
	rsp_stopped(&rsp, (struct rsp_stop){.why = RSP_SWBREAK, .thread = 2, .value = RSP_SIGTRAP});
	assert_memory_equal(sent, "$T05thread:2;swbreak:;06:", 25);
	feed_packet("c", 1);
	sent_len = 0;
	rsp_stopped(&rsp, (struct rsp_stop){RSP_POINT, 2, RSP_SIGTRAP, RSP_HARDWARE, 0x400010});
	assert_memory_equal(sent, "$T05thread:2;hwbreak:;06:", 25);
	feed_packet("c", 1);
	sent_len = 0;
	rsp_stopped(&rsp, (struct rsp_stop){RSP_POINT, 2, RSP_SIGTRAP, RSP_READ, 0x400010});
	assert_memory_equal(sent, "$T05thread:2;rwatch:400010;06:", 30);
	assert_int_equal(rsp.thread, 2);
	sent_len = 0;
	rsp_stopped(&rsp, (struct rsp_stop){.why = RSP_SIGNALLED,
					    .thread = 1,
					    .value = RSP_SIGINT}); /* nobody waits */
	assert_int_equal(sent_len, 0);
	ask("vCont", "");
	ask("vCont;", "E16");
	ask("vCont;c:", "E16");
	ask("vCont;x", "E16");
	ask("vCont;c:7", "E16");
	ask("vCont;t", "E16");
	assert_int_equal(resumes, 3);
	feed_packet("s", 1);
	assert_int_equal(resumed[1], RSP_STEP);
	sent_len = 0;
	rsp_stopped(&rsp, (struct rsp_stop){.why = RSP_EXITED});
	assert_memory_equal(sent, "$W00#b7", 7);
	assert_true(rsp.ended);
	feed("$qAttached#8f", 13);
	assert_int_equal(sent_len, 0);
}

static void crashes(void **state)
{
	feed_packet("c", 1);
	sent_len = 0;
	rsp_stopped(&rsp, (struct rsp_stop){.why = RSP_KILLED, .thread = 1, .value = RSP_SIGABRT});
	assert_memory_equal(sent, "$X06#be", 7);
}

static void leaving(void **state)
{
	ask("D", "OK");
	assert_true(rsp.ended && detaches == 1 && !kills);
	setup(NULL);
	ask("vKill;1", "OK");
	assert_true(rsp.ended && kills == 1 && !detaches);
	setup(NULL);
	feed_packet("c", 1);
	feed_packet("k", 1); /* no answer, and at any time */
	assert_string_equal(sent, "+");
	assert_true(rsp.ended && kills == 1);
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(packets),	   TEST(packets_too_long), TEST(no_acknowledgement),
		TEST(features),	   TEST(registers),	   TEST(memory_access),
		TEST(breakpoints), TEST(thread_list),	   TEST(resuming),
		TEST(stops),	   TEST(crashes),	   TEST(leaving),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
