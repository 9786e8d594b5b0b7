/* SPDX-License-Identifier: MIT */
/* What a program has of the CPU beside its general registers, and its other ways to the kernel. */
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <cpuid.h>
#include <elf.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/stock/load.h"

#define HWCAP2_FSGSBASE 2
#define CS32		0x23
#define CS64		0x33
#define GETPID32	20
#define TURNS		300

/* ---- vector registers ---- */

struct vectors {
	uint8_t r[32][64] __attribute__((aligned(64)));
};

#define EACH16(f) \
	f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11) f(12) f(13) f(14) f(15)
#define EACH_HIGH(f)                                                                              \
	f(16) f(17) f(18) f(19) f(20) f(21) f(22) f(23) f(24) f(25) f(26) f(27) f(28) f(29) f(30) \
		f(31)

#define LOAD_SSE(n) "movaps " #n "*64(%0), %%xmm" #n "\n"
#define SAVE_SSE(n) "movaps %%xmm" #n ", " #n "*64(%0)\n"
#define LOAD_AVX(n) "vmovaps " #n "*64(%0), %%ymm" #n "\n"
#define SAVE_AVX(n) "vmovaps %%ymm" #n ", " #n "*64(%0)\n"
#define LOAD_512(n) "vmovaps " #n "*64(%0), %%zmm" #n "\n"
#define SAVE_512(n) "vmovaps %%zmm" #n ", " #n "*64(%0)\n"

/* Load all registers of the widest kind, let others run, store them. */
static void through(struct vectors *v, unsigned width, long call, long a1)
{
	const struct vectors *p = v;
	long rax = call;

	if (width == 64)
		__asm__ volatile(EACH16(LOAD_512) EACH_HIGH(LOAD_512) : : "r"(p) : "memory");
	else if (width == 32)
		__asm__ volatile(EACH16(LOAD_AVX) : : "r"(p) : "memory");
	else
		__asm__ volatile(EACH16(LOAD_SSE) : : "r"(p) : "memory");
	__asm__ volatile("syscall" : "+a"(rax) : "D"(a1), "S"(SIGUSR1) : "rcx", "r11", "memory");
	if (width == 64)
		__asm__ volatile(EACH16(SAVE_512) EACH_HIGH(SAVE_512) : : "r"(v) : "memory");
	else if (width == 32)
		__asm__ volatile(EACH16(SAVE_AVX) : : "r"(v) : "memory");
	else
		__asm__ volatile(EACH16(SAVE_SSE) : : "r"(v) : "memory");
}

static unsigned vector_width(void)
{
	uint32_t a, b, c, d, low, high;

	__cpuid(1, a, b, c, d);
	if (!(c & bit_OSXSAVE))
		return 16;
	__asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	__cpuid_count(7, 0, a, b, c, d);
	if (b & bit_AVX512F && (low & 0xe6) == 0xe6)
		return 64;
	return (low & 6) == 6 ? 32 : 16;
}

static bool keeps_vectors(uint8_t seed, unsigned width, long call, long arg, unsigned turns)
{
	static struct vectors want, got;

	for (unsigned i = 0; i < sizeof(want); i++)
		((uint8_t *)&want)[i] = i * 7 + (i >> 8) + seed;
	for (unsigned i = 0; i < turns; i++) {
		got = want;
		through(&got, width, call, arg);
		for (unsigned r = 0; r < (width == 64 ? 32 : 16); r++)
			if (memcmp(got.r[r], want.r[r], width))
				return false;
	}
	return true;
}

static void clobber(int sig)
{
	struct vectors zero = {0};

	through(&zero, vector_width(), SYS_getppid, 0);
}

static void vectors(void)
{
	const unsigned width = vector_width();
	int status = 0;
	pid_t pid;
	bool ok;

	pid = fork();
	ok = keeps_vectors(pid ? 1 : 99, width, SYS_sched_yield, 0, TURNS);
	if (!pid)
		_exit(!ok);
	waitpid(pid, &status, 0);
	check(ok && !status, "vector registers while others run", "width %u, child %x", width,
	      status);
	signal(SIGUSR1, clobber);
	ok = keeps_vectors(5, width, SYS_kill, getpid(), 20);
	signal(SIGUSR1, SIG_DFL);
	check(ok, "vector registers around a signal", "width %u", width);
}

/* ---- segments ---- */

static uint64_t gs_word(void)
{
	uint64_t v;

	__asm__ volatile("mov %%gs:0, %0" : "=r"(v));
	return v;
}

static void segment_bases(void)
{
	static uint64_t words[2] = {0x1122334455667788, 0x99aabbccddeeff00};
	const bool insn = getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE;
	unsigned wrong = 0;
	uint64_t base = 0;
	int status = 0;
	pid_t pid;

	check(insn, "FSGSBASE for programs", "not offered");
	pid = fork();
	for (unsigned i = 0; i < TURNS; i++) {
		uint64_t *mine = &words[!pid];

		if (i % 2 || !insn)
			syscall(SYS_arch_prctl, ARCH_SET_GS, mine);
		else
			__asm__ volatile("wrgsbase %0" : : "r"(mine));
		sched_yield();
		wrong += gs_word() != *mine;
		if (insn)
			__asm__ volatile("rdgsbase %0" : "=r"(base));
		else
			syscall(SYS_arch_prctl, ARCH_GET_GS, &base);
		wrong += base != (uint64_t)mine;
	}
	if (!pid)
		_exit(wrong != 0);
	waitpid(pid, &status, 0);
	check(!wrong && !status, "GS base while others run", "%u wrong, child %x", wrong, status);
	syscall(SYS_arch_prctl, ARCH_SET_GS, 0);
}

static bool ldt_word_ok(unsigned entry, const uint32_t *word)
{
	struct user_desc d = {.entry_number = entry,
			      .base_addr = (uintptr_t)word,
			      .limit = 0xfff,
			      .seg_32bit = 1};
	const uint16_t selector = entry << 3 | 7, none = 0;
	uint32_t v;

	if (syscall(SYS_modify_ldt, 0x11, &d, sizeof(d)))
		return false;
	__asm__ volatile("mov %1, %%gs; mov %%gs:0, %0; mov %2, %%gs"
			 : "=r"(v)
			 : "r"(selector), "r"(none));
	return v == *word;
}

static void ldt(void)
{
	uint32_t *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	int status = 0;
	pid_t pid;
	bool ok;

	low[0] = 0xfeedface;
	ok = ldt_word_ok(0, low) && ldt_word_ok(3, low) && ldt_word_ok(1000, low);
	pid = fork();
	if (!pid)
		_exit(!ldt_word_ok(3, low));
	waitpid(pid, &status, 0);
	check(ok && !status, "modify_ldt", "%d, child %x", ok, status);
	munmap(low, 4096);
}

/* ---- other ways into the kernel ---- */

static void int80(void)
{
	long rax = GETPID32;

	__asm__ volatile("int $0x80" : "+a"(rax) : : "memory");
	check(rax == getpid(), "int 0x80", "%ld", rax);
}

/* In the middle of a 64-bit process: far away into 32-bit code, a system call, and back. */
static bool code32(void)
{
	uint8_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0),
		*p = page;
	const uint64_t far = (uint64_t)page | (uint64_t)CS32 << 32;
	const uint32_t back = (uintptr_t)page + 64;
	uint64_t rax = GETPID32;

	memcpy(p, "\xcd\x80\xea", 3); /* int $0x80; ljmp $CS64, $back */
	memcpy(p + 3, &back, 4);
	memcpy(p + 7, &(uint16_t){CS64}, 2);
	memcpy(page + 64, "\x48\x8b\x23\xc3", 4); /* mov (%rbx), %rsp; ret */
	__asm__ volatile("sub $128, %%rsp; lea 1f(%%rip), %%rcx; push %%rcx; mov %%rsp, (%%rbx)\n"
			 "ljmpl *(%%rsi); 1: add $128, %%rsp"
			 : "+a"(rax)
			 : "S"(&far), "m"(far), "b"(page + 128)
			 : "rcx", "r8", "r9", "r10", "r11", "memory");
	munmap(page, 4096);
	return (uint32_t)rax == (uint32_t)getpid();
}

/* A process of its own: it may end where it does not find back. */
static void far_away(void)
{
	const pid_t pid = fork();
	int status = 0;

	if (!pid)
		_exit(code32() ? 0 : 1);
	waitpid(pid, &status, 0);
	check(!status, "32-bit code and int 0x80", "status %x", status);
}

/* A 32-bit program calls the kernel as that tells it to: sysenter or int 0x80. */
static void program32(void)
{
	const pid_t pid = fork();
	int status = 0;

	if (!pid) {
		execl("/bin/load32", "load32", NULL);
		_exit(1);
	}
	waitpid(pid, &status, 0);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 32, "a 32-bit program", "status %x",
	      status);
}

static void identity(void)
{
	uint32_t a, b, c, d;

	__cpuid(1, a, b, c, d);
	check(!(c >> 5 & 1), "CPUID: no VMX", "ecx %x", c);
}

void cpu(void)
{
	identity();
	vectors();
	segment_bases();
	ldt();
	int80();
	far_away();
	program32();
}
