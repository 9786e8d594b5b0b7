/* SPDX-License-Identifier: MIT */
/* The protocol's outer layer: packets, checksums, acknowledgements, and gdb's ^C. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "toolstack/pvctl/rsp.h"

#define CTRL_C	 0x03
#define ESCAPE	 0x7d
#define NO_DIGIT 0x100
#define ESCAPING 0x20
#define FRAME	 5 /* '$', '#', two digits, printf's 0 */

void rsp_init(struct rsp *r, const struct rsp_target *t, void *ctx, struct rsp_stop stop)
{
	memset(r, 0, sizeof(*r));
	r->target = t;
	r->ctx = ctx;
	r->stop = stop;
	r->thread = stop.thread;
}

/* ---- to gdb ---- */

static size_t room_of(const struct rsp *r)
{
	return sizeof(r->out) - FRAME - r->out_len;
}

void rsp_begin(struct rsp *r)
{
	r->out[0] = '$';
	r->out_len = 1;
}

void rsp_printf(struct rsp *r, const char *fmt, ...)
{
	const size_t room = room_of(r);
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(r->out + r->out_len, room + 1, fmt, ap);
	va_end(ap);
	if (n > 0)
		r->out_len += (size_t)n < room ? (size_t)n : room;
}

void rsp_put(struct rsp *r, const char *text)
{
	rsp_printf(r, "%s", text);
}

void rsp_put_hex(struct rsp *r, const void *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n && room_of(r) >= 2; i++) {
		const uint8_t b = ((const uint8_t *)bytes)[i];

		r->out[r->out_len++] = digits[b >> 4];
		r->out[r->out_len++] = digits[b & 15];
	}
}

void rsp_put_binary(struct rsp *r, const void *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const uint8_t b = ((const uint8_t *)bytes)[i];
		const bool escaped = b == '$' || b == '#' || b == '*' || b == ESCAPE;

		if (room_of(r) < 2)
			return;
		if (escaped)
			r->out[r->out_len++] = ESCAPE;
		r->out[r->out_len++] = escaped ? b ^ ESCAPING : b;
	}
}

static void send_out(struct rsp *r)
{
	r->target->send(r->ctx, r->out, r->out_len);
}

void rsp_end(struct rsp *r)
{
	uint8_t sum = 0;

	for (size_t i = 1; i < r->out_len; i++)
		sum += r->out[i];
	r->out_len += sprintf(r->out + r->out_len, "#%02x", sum);
	send_out(r);
}

void rsp_stopped(struct rsp *r, struct rsp_stop stop)
{
	r->stop = stop;
	if (stop.why == RSP_EXITED || stop.why == RSP_KILLED)
		r->ended = true;
	else
		r->thread = stop.thread;
	if (!r->running)
		return;
	r->running = false;
	rsp_begin(r);
	rsp_put_stop(r);
	rsp_end(r);
}

/* ---- from gdb ---- */

static size_t unescape(uint8_t *p, size_t n)
{
	size_t out = 0;

	for (size_t i = 0; i < n; i++)
		if (p[i] == ESCAPE && i + 1 < n)
			p[out++] = p[++i] ^ ESCAPING;
		else
			p[out++] = p[i];
	return out;
}

static void packet(struct rsp *r)
{
	size_t n;

	if (!r->no_ack) {
		const bool good = r->sum == r->said && !r->in_long;

		r->target->send(r->ctx, good ? "+" : "-", 1);
		if (!good)
			return;
	}
	n = r->in_long ? 0 : unescape(r->in, r->in_len);
	r->in[n] = 0;
	/* Nothing but ^C and the end counts while the domain runs. */
	if (!r->running || r->in[0] == 'k')
		rsp_command(r, (char *)r->in, n);
}

static unsigned digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : NO_DIGIT;
}

static void outside(struct rsp *r, uint8_t c)
{
	switch (c) {
	case '$':
		r->state = RSP_INSIDE;
		r->in_len = 0;
		r->in_long = false;
		r->sum = 0;
		break;
	case '-':
		if (!r->no_ack && r->out_len)
			send_out(r);
		break;
	case CTRL_C:
		if (r->running)
			r->target->interrupt(r->ctx);
		break;
	}
}

static void inside(struct rsp *r, uint8_t c)
{
	if (c == '$') { /* the rest of one was lost */
		outside(r, c);
	} else if (c == '#') {
		r->state = RSP_SUM1;
	} else {
		r->sum += c;
		if (r->in_len < RSP_PACKET)
			r->in[r->in_len++] = c;
		else
			r->in_long = true;
	}
}

void rsp_input(struct rsp *r, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n && !r->ended; i++) {
		switch (r->state) {
		case RSP_OUTSIDE: outside(r, bytes[i]); break;
		case RSP_INSIDE: inside(r, bytes[i]); break;
		case RSP_SUM1:
			r->said = digit(bytes[i]) << 4;
			r->state = RSP_SUM2;
			break;
		case RSP_SUM2:
			r->said |= digit(bytes[i]);
			r->state = RSP_OUTSIDE;
			packet(r);
			break;
		}
	}
}
