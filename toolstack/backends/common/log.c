/* SPDX-License-Identifier: MIT */
/* What a backend says: one line, one write, to what is pvd's log. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "toolstack/backends/common/backend.h"

#define WINDOW_NS 60000000000UL
#define MAX_LINES 100 /* in a window: a guest can make mistakes faster than anybody reads */

static bool too_many(void)
{
	static uint64_t start;
	static unsigned lines;
	const uint64_t now = dev_now();

	if (!start || now - start > WINDOW_NS) {
		start = now;
		lines = 0;
	}
	return lines++ >= MAX_LINES;
}

static void say(struct dev *d, const char *text)
{
	char line[400];
	int n = snprintf(line, sizeof(line), "%s d%u/%u: %s", d->be->name, d->domid, d->devid,
			 text);

	if (n >= (int)sizeof(line))
		n = sizeof(line) - 1;
	for (int i = 0; i < n; i++)
		if (line[i] < ' ' || line[i] > '~')
			line[i] = '?'; /* what the guest named must not look like a line of ours */
	line[n] = '\n';		       /* over the NUL: write() needs none */
	if (too_many())
		return;
	if (write(2, line, n + 1) < 0)
		return; /* nobody listens */
}

void dev_log(struct dev *d, const char *fmt, ...)
{
	char text[320];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	say(d, text);
}

int dev_fail(struct dev *d, const char *fmt, ...)
{
	char text[320];
	va_list ap;

	if (d->failed)
		return -1;
	d->failed = true;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	say(d, text);
	store_failed(d, text);
	return -1;
}
