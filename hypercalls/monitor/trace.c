/* SPDX-License-Identifier: MIT */
/*
 * Traces (trace.h). No stdio: the guest's vector registers are in the CPU.
 *
 * A buffer's lock is for the end of tracing, which another thread brings about; else only the vCPU
 * takes it. Whatever cannot be written (the disk is full, RLIMIT_FSIZE is reached) ends the trace
 * and nothing else.
 */
#include <stdarg.h>
#include <unistd.h>

#include "hypercalls/monitor/trace.h"

#define BUFFER 65536

static struct trace_buffer {
	pthread_mutex_t lock;
	uint32_t used;
	char bytes[BUFFER];
} buffers[PVDOM_MAX_VCPUS]; /* zeros are an unlocked mutex */

static int trace_fd = -1; /* changed with all the buffers' locks held */

uint32_t trace_what;

static void put_char(struct trace_buffer *b, char c)
{
	b->bytes[b->used++] = c;
}

static void put_number(struct trace_buffer *b, uint64_t n, unsigned base)
{
	char digits[20];
	unsigned i = 0;

	do
		digits[i++] = "0123456789abcdef"[n % base];
	while (n /= base);
	while (i)
		put_char(b, digits[--i]);
}

static void put_text(struct trace_buffer *b, const char *s, uint32_t end)
{
	while (*s && b->used < end)
		put_char(b, *s++);
}

#define NUMBER_MAX 20 /* characters */

static void put_line(struct trace_buffer *b, const char *f, va_list args)
{
	const uint32_t end = b->used + TRACE_LINE - 2 * NUMBER_MAX;

	for (; *f && b->used < end; f++) {
		if (*f != '%') {
			put_char(b, *f);
			continue;
		}
		if (*++f == 's') {
			put_text(b, va_arg(args, const char *), end);
			continue;
		}
		if (*++f == 'x')
			put_text(b, "0x", end);
		put_number(b, va_arg(args, uint64_t), *f == 'x' ? 16 : 10);
	}
	put_char(b, '\n');
}

/* Its lock is held. */
static void write_out(struct trace_buffer *b)
{
	uint32_t done = 0;

	while (done < b->used && trace_fd >= 0) {
		const ssize_t n = write(trace_fd, b->bytes + done, b->used - done);

		if (n <= 0) {
			__atomic_store_n(&trace_what, 0, __ATOMIC_RELAXED);
			break;
		}
		done += n;
	}
	b->used = 0;
}

void trace_line(const struct vcpu *v, const char *format, ...)
{
	struct trace_buffer *b = &buffers[v->id];
	va_list args;

	pthread_mutex_lock(&b->lock);
	if (trace_fd >= 0) { /* it may have ended since v looked */
		if (b->used > BUFFER - 2 * TRACE_LINE)
			write_out(b);
		put_number(b, system_time(v->d), 10);
		put_text(b, " v", BUFFER);
		put_number(b, v->id, 10);
		put_char(b, ' ');
		va_start(args, format);
		put_line(b, format, args);
		va_end(args);
	}
	pthread_mutex_unlock(&b->lock);
}

void trace_flush(const struct vcpu *v)
{
	struct trace_buffer *b = &buffers[v->id];

	if (!b->used)
		return;
	pthread_mutex_lock(&b->lock);
	write_out(b);
	pthread_mutex_unlock(&b->lock);
}

void trace_set(struct domain *d, uint32_t what, int fd)
{
	const int old = trace_fd;

	__atomic_store_n(&trace_what, 0, __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < d->nr_vcpus; i++) {
		pthread_mutex_lock(&buffers[i].lock);
		write_out(&buffers[i]);
	}
	trace_fd = fd;
	__atomic_store_n(&trace_what, what, __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < d->nr_vcpus; i++)
		pthread_mutex_unlock(&buffers[i].lock);
	if (old >= 0)
		close(old);
}
