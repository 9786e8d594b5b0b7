/* SPDX-License-Identifier: MIT */
/* From samples to a line, and whether the samples mean what we say. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/lab/bench.h"

#define NOPS 1000

static int compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static double median(uint64_t *samples, unsigned n)
{
	qsort(samples, n, sizeof(*samples), compare);
	return samples[n / 2];
}

void row_print(const struct side *s, struct row *r)
{
	printf("bench %s %s %.1f %.2f\n", s->name, r->name, median(r->ticks, r->n) / r->ops,
	       median(r->exits, r->n) / r->ops);
	fflush(stdout);
}

void ticks_check(void)
{
	uint64_t samples[ROUNDS], t;

	for (unsigned i = 0; i < ROUNDS; i++) {
		t = __rdtsc();
		__asm__ volatile(".rept %c0; nop; .endr" : : "i"(NOPS));
		samples[i] = __rdtsc() - t;
	}
	t = median(samples, ROUNDS);
	if (t >= NOPS && t < NOPS + 10)
		return;
	printf("not ok lab-bench: %d nops are %lu ticks: this TSC does not count instructions\n",
	       NOPS, (unsigned long)t);
	exit(1);
}

void give_up(const char *what)
{
	printf("not ok lab-bench: %s: %s\n", what, strerror(errno));
	exit(1);
}
