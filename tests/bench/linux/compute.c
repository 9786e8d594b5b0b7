/* SPDX-License-Identifier: MIT */
/* Calculations that need no memory but a stack. */
#include <string.h>

#include "tests/bench/linux/bench.h"

#define STEPS 1000 /* of a loop are one operation */

static volatile uint64_t sink;

static uint64_t integer(void)
{
	uint64_t x = 1;

	for (unsigned i = 0; i < STEPS; i++)
		x = mix(x + i);
	return x;
}

static uint64_t bits(double d)
{
	uint64_t u;

	memcpy(&u, &d, sizeof(u));
	return u;
}

static uint64_t divide(void)
{
	double x = 1e9, y = 3;

	for (unsigned i = 0; i < STEPS; i++) {
		x = x / y + 1;
		y = 7 / y;
	}
	return bits(x + y);
}

static uint64_t multiply_add(void)
{
	double a = 0.1, b = 0.2, c = 0.3, d = 0.4;

	for (unsigned i = 0; i < STEPS; i++) {
		a = a * 0.999 + b;
		b = b * 0.998 + c;
		c = c * 0.997 + d;
		d = d * 0.996 + 1e-3;
	}
	return bits(a + b + c + d);
}

__attribute__((noinline)) static uint64_t fibonacci(uint64_t n)
{
	return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

static uint64_t calls(void)
{
	return fibonacci(15);
}

#define RUN(f)                                   \
	static uint64_t f##_run(uint64_t n)      \
	{                                        \
		const uint64_t start = now();    \
                                                 \
		for (uint64_t i = 0; i < n; i++) \
			sink = f();              \
		return now() - start;            \
	}
RUN(integer)
RUN(divide)
RUN(multiply_add)
RUN(calls)

const struct row compute_rows[] = {
	{"integer", integer_run, integer},
	{"divide", divide_run, divide},
	{"multiply_add", multiply_add_run, multiply_add},
	{"calls", calls_run, calls},
	{0},
};
