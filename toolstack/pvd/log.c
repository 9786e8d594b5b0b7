/* SPDX-License-Identifier: MIT */
/* The log: a file for the administrator, and the ring that stands for Xen's console. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "toolstack/pvd/pvd.h"

#define RING	 32768U /* a power of two */
#define MAX_FILE (16L << 20)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char ring[RING];
static uint32_t cons, prod; /* free running */

static void ring_put(const char *s, size_t len) /* lock held */
{
	for (size_t i = 0; i < len; i++)
		ring[prod++ % RING] = s[i];
	if (prod - cons > RING)
		cons = prod - RING;
}

/* Guests write here: the file must not fill the disk. Others append to it, so cutting is safe. */
static void bound_file(void) /* lock held */
{
	struct stat st;

	if (fstat(STDERR_FILENO, &st) || !S_ISREG(st.st_mode) || st.st_size < MAX_FILE ||
	    !(fcntl(STDERR_FILENO, F_GETFL) & O_APPEND))
		return;
	if (!ftruncate(STDERR_FILENO, 0))
		fprintf(stderr, "(the log was cut here: it had grown to %ld bytes)\n",
			(long)st.st_size);
}

/* Between lines of ours: QEMU says a line for each request that its guest has made badly. */
void log_tick(void)
{
	pthread_mutex_lock(&lock);
	bound_file();
	pthread_mutex_unlock(&lock);
}

static void emit(const char *prefix, const char *s, size_t len)
{
	static unsigned lines;
	char stamp[32];
	time_t now = time(NULL);
	struct tm tm;

	strftime(stamp, sizeof(stamp), "%F %T", localtime_r(&now, &tm));
	pthread_mutex_lock(&lock);
	if (!(++lines % 256))
		bound_file();
	fprintf(stderr, "%s %s %.*s\n", stamp, prefix, (int)len, s);
	ring_put(prefix, strlen(prefix));
	ring_put(" ", 1);
	ring_put(s, len);
	ring_put("\n", 1);
	pthread_mutex_unlock(&lock);
}

void log_line(const char *fmt, ...)
{
	char line[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	emit("(XEN)", line, n < (int)sizeof(line) ? n : (int)sizeof(line) - 1);
}

/* A guest's text is hostile: one prefix per line, and nothing a terminal would act on. */
void log_guest(uint16_t domid, const char *text, size_t len)
{
	char prefix[16], line[256];
	size_t n = 0;

	snprintf(prefix, sizeof(prefix), "(d%u)", domid);
	for (size_t i = 0; i < len; i++) {
		unsigned char ch = text[i];

		if (ch != '\n' && n < sizeof(line))
			line[n++] = ch == '\t' || (ch >= 32 && ch < 127) ? ch : '.';
		if (ch == '\n' || n == sizeof(line)) {
			emit(prefix, line, n);
			n = 0;
		}
	}
	if (n)
		emit(prefix, line, n);
}

/* readconsole: from *index if incremental, else from the oldest; *index = where to go on. */
uint32_t log_read(char *buf, uint32_t size, uint32_t *index, bool incremental)
{
	uint32_t i, n = 0;

	pthread_mutex_lock(&lock);
	i = incremental ? *index : cons;
	if (prod - i > prod - cons)
		i = cons;
	while (i != prod && n < size)
		buf[n++] = ring[i++ % RING];
	*index = i;
	pthread_mutex_unlock(&lock);
	return n;
}

void log_clear(void)
{
	pthread_mutex_lock(&lock);
	cons = prod;
	pthread_mutex_unlock(&lock);
}
