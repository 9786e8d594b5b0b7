/* SPDX-License-Identifier: MIT */
/*
 * What a Linux program notices of the machine below it: one static program, run natively and as
 * init of a guest's kernel.
 *
 *   main.c     what it says and when; the end of the machine
 *   system.c   ways into the kernel and back
 *   compute.c  registers only
 *   memory.c   eight loops that live on their memory
 */
#ifndef BENCH_LINUX_H
#define BENCH_LINUX_H

#include <stdint.h>

/* Do a thing `n` times: the nanoseconds it took, without what was made ready before. */
typedef uint64_t (*row_fn)(uint64_t n);

struct row {
	const char *name;
	row_fn run;
	/* What a calculation comes to, the same on every machine; or NULL. */
	uint64_t (*result)(void);
};

extern const struct row system_rows[], compute_rows[], memory_rows[]; /* a NULL name ends each */

uint64_t now(void);	       /* nanoseconds; never back */
void die(const char *what);    /* with errno's reason */
uint64_t gcc_run(uint64_t n);  /* compile a file */
extern const char *gcc_source; /* that file */

static inline uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdULL;
	x ^= x >> 29;
	x *= 0xc4ceb9fe1a85ec53ULL;
	return x ^ x >> 32;
}

#endif
