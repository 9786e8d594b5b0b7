/* SPDX-License-Identifier: MIT */
/*
 * What every guest test shares: checks that count failures, and the one final line the runner
 * looks for. Each test is an image of its own, so a guest that dies takes nothing else with it.
 */
#ifndef GUEST_TEST_H
#define GUEST_TEST_H

#include <pv/arch.h>
#include <pv/event.h>
#include <pv/lib.h>
#include <pv/mm.h>
#include <pv/time.h>

#define XEN_ENXIO      6
#define XEN_ENODEV     19
#define XEN_ENOSPC     28
#define XEN_EOPNOTSUPP 95

#define NOWHERE	  0x2000000000ul /* nothing is ever mapped here */
#define NON_CANON 0x8000000000000000ul
#define XEN_RANGE 0xffff830000000000ul /* the hypervisor's own, never the guest's */
#define BAD_MFN	  0xfffffffffful       /* beyond any machine's memory */

#define FLAG_CF	 0x1ul
#define FLAG_ONE 0x2ul
#define FLAG_TF	 0x100ul
#define FLAG_IF	 0x200ul
#define FLAG_DF	 0x400ul
#define FLAG_NT	 0x4000ul
#define FLAG_RF	 0x10000ul
#define FLAG_AC	 0x40000ul
#define NO_FLAGS 0x74100ul /* AC VM RF NT TF: no handler starts with them */

/* Names the test and says why it exists; test_main() does the work, with upcalls masked. */
#define TEST(name, why)                \
	const char test_name[] = name; \
	const char test_why[] = why

extern const char test_name[], test_why[];
void test_main(void);

/* A processor below 1 GHz, which is an emulator's: there is less time for repetitions. */
static inline bool is_slow(void)
{
	return time_tsc_khz() < 1000000;
}

void check(const char *what, bool ok);
void check_eq(const char *what, long got, long want);
void skip(const char *why) __attribute__((noreturn));
/* Says that the next thing must end the domain; survived() is for the line behind it. */
void expect_crash(const char *how);
void survived(void) __attribute__((noreturn));

long mmuext(unsigned int cmd, mfn_t mfn);
/* A hypercall by the bare instruction, for numbers that the page has no entry for. */
long raw_hypercall(unsigned long nr, unsigned long a1, unsigned long a2, unsigned long a3);

struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};
/* By the forced-emulation prefix: an invalid opcode, "xen", then the instruction. */
struct cpuid forbidden_xen_cpuid(uint32_t leaf, uint32_t sub);

/* Functions for trap_catch(); the argument is the address. */
void do_read(void *va);
void do_write(void *va);
void do_call(void *va);
/* Vector of the exception fn(arg) ended in, or -1. */
int vector_of(void (*fn)(void *), void *arg);

/* Random numbers, from a state that is not 0. */
extern uint64_t rnd_state;
uint64_t rnd64(void);
unsigned int rnd(unsigned int below);
/* The state, made of the number that the command line begins with, or of the clock; *rest: behind.
 */
uint64_t rnd_seed(char **rest);

#endif
