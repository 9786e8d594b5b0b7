/* SPDX-License-Identifier: MIT */
/* ok and not ok lines, as the lab counts them. */
#ifndef PVHOST_CHECK_H
#define PVHOST_CHECK_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static unsigned passed, failed;

static inline __attribute__((format(printf, 3, 4))) void check(bool ok, const char *name,
							       const char *fmt, ...)
{
	va_list ap;

	printf("%sok %s", ok ? "" : "not ", name);
	if (!ok) {
		printf(": ");
		va_start(ap, fmt);
		vprintf(fmt, ap);
		va_end(ap);
	}
	printf("\n");
	fflush(stdout);
	*(ok ? &passed : &failed) += 1;
}

static inline int finish(void)
{
	printf("%u passed, %u failed\n", passed, failed);
	return failed != 0;
}

#endif
