/* SPDX-License-Identifier: MIT */
#include "common.h"

static unsigned int nr_checks, nr_failed;
static char first[128];

static void failed(const char *text)
{
	printf("Fail: %s\n", text);
	if (!nr_failed++)
		strlcpy(first, text, sizeof(first));
}

void check(const char *what, bool ok)
{
	nr_checks++;
	if (!ok)
		failed(what);
}

void check_eq(const char *what, long got, long want)
{
	char text[128];

	nr_checks++;
	if (got == want)
		return;
	snprintf(text, sizeof(text), "%s: got %ld (%lx), not %ld (%lx)", what, got, got, want,
		 want);
	failed(text);
}

void skip(const char *why)
{
	upcalls_disable();
	printf("guest-test: SKIP %s\n", why);
	shutdown(SHUTDOWN_poweroff);
}

void expect_crash(const char *how)
{
	printf("guest-test: EXPECT crash: %s\n", how);
	console_flush();
}

void survived(void)
{
	upcalls_disable();
	printf("guest-test: FAILURE survived\n");
	shutdown(SHUTDOWN_poweroff);
}

long mmuext(unsigned int cmd, mfn_t mfn)
{
	struct mmuext_op op = {.cmd = cmd, .arg1.mfn = mfn};

	return HYPERVISOR_mmuext_op(&op, 1, NULL, DOMID_SELF);
}

long raw_hypercall(unsigned long nr, unsigned long a1, unsigned long a2, unsigned long a3)
{
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret), "+D"(a1), "+S"(a2), "+d"(a3)
			 : "a"(nr)
			 : "rcx", "r11", "r10", "r8", "memory", "cc");
	return ret;
}

void do_read(void *va)
{
	*(volatile char *)va;
}

void do_write(void *va)
{
	*(volatile char *)va = 1;
}

void do_call(void *va)
{
	((void (*)(void))va)();
}

int vector_of(void (*fn)(void *), void *arg)
{
	struct trap_regs regs;

	return trap_catch(fn, arg, &regs) ? (int)regs.vector : -1;
}

int guest_main(void)
{
	printf("--- %s: %s\n", test_name, test_why);
	mm_init();
	test_main();
	upcalls_disable();
	if (nr_failed)
		printf("guest-test: FAILURE %u of %u checks: %s\n", nr_failed, nr_checks, first);
	else
		printf("guest-test: SUCCESS\n");
	return 0;
}

struct cpuid forbidden_xen_cpuid(uint32_t leaf, uint32_t sub)
{
	struct cpuid r;

	__asm__ volatile("ud2; .byte 'x', 'e', 'n'; cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(sub));
	return r;
}

uint64_t rnd_state;

/* xorshift64* */
uint64_t rnd64(void)
{
	rnd_state ^= rnd_state >> 12;
	rnd_state ^= rnd_state << 25;
	rnd_state ^= rnd_state >> 27;
	return rnd_state * 0x2545f4914f6cdd1dul;
}

unsigned int rnd(unsigned int below)
{
	return (unsigned int)(rnd64() >> 33) % below;
}

uint64_t rnd_seed(char **rest)
{
	rnd_state = strtoul((const char *)start_info->cmd_line, rest, 10);
	if (!rnd_state)
		rnd_state = (rdtsc() & 0xffffffff) + 1;
	return rnd_state;
}
