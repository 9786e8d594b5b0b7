/* SPDX-License-Identifier: MIT */
/* The CPU's counter, and how fast it counts: pvd measures it once, for every domain. */
#ifndef PAVANE_TSC_H
#define PAVANE_TSC_H

#include <stdint.h>
#include <time.h>

#define TSC_MEASURE_NS 2000000 /* at least, between two samples that are to tell the rate */

/* Not before what comes before. */
static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return (uint64_t)hi << 32 | lo;
}

struct tsc_sample {
	uint64_t tsc, ns;
};

/* A TSC value and CLOCK_MONOTONIC at the same moment, as near as a few tries get them. */
static inline struct tsc_sample tsc_sample(void)
{
	struct tsc_sample s = {0};
	uint64_t best = ~0ULL;

	for (int i = 0; i < 5; i++) {
		const uint64_t a = rdtsc();
		struct timespec ts;
		uint64_t b;

		clock_gettime(CLOCK_MONOTONIC, &ts);
		b = rdtsc();
		if (b - a < best) {
			best = b - a;
			s.tsc = a + (b - a) / 2;
			s.ns = ts.tv_sec * 1000000000ULL + ts.tv_nsec;
		}
	}
	return s;
}

static inline uint32_t tsc_khz(struct tsc_sample since)
{
	struct tsc_sample now;

	do
		now = tsc_sample();
	while (now.ns - since.ns < TSC_MEASURE_NS);
	return (unsigned __int128)(now.tsc - since.tsc) * 1000000 / (now.ns - since.ns);
}

#endif
