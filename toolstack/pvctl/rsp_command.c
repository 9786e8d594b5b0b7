/* SPDX-License-Identifier: MIT */
/* The protocol's packets: what gdb asks, and the answers. An unknown packet's answer is empty. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "toolstack/pvctl/rsp.h"

#define FAULT 14 /* E numbers are errno's, as a rule */
#define WRONG 22

static void put_error(struct rsp *r, int err)
{
	rsp_printf(r, "E%02x", err & 0xff);
}

static void put_ok(struct rsp *r, bool ok)
{
	if (ok)
		rsp_put(r, "OK");
	else
		put_error(r, WRONG);
}

static bool alive(struct rsp *r, uint64_t thread)
{
	return thread >= 1 && thread <= r->target->threads && r->target->alive(r->ctx, thread);
}

/* From `first` on, or 0. */
static unsigned next_alive(struct rsp *r, unsigned first)
{
	for (; first <= r->target->threads; first++)
		if (alive(r, first))
			return first;
	return 0;
}

/* A number, -1 for all, 0 for any; false: neither. */
static bool thread_id(const char **p, int64_t *thread)
{
	uint64_t n;

	if (rsp_skip(p, '-')) {
		*thread = -1;
		return rsp_skip(p, '1');
	}
	if (!rsp_hex(p, &n) || n > RSP_THREADS)
		return false;
	*thread = n;
	return true;
}

/* ---- stopping and resuming ---- */

/* The registers that gdb wants first: rbp, rsp, rip. */
static void put_first_regs(struct rsp *r)
{
	static const uint8_t first[] = {6, 7, 16};
	struct rsp_regs regs;

	if (!alive(r, r->stop.thread) || !r->target->regs_read(r->ctx, r->stop.thread, &regs))
		return;
	for (unsigned i = 0; i < sizeof(first); i++) {
		rsp_printf(r, "%02x:", first[i]);
		rsp_put_reg(r, &regs, first[i]);
		rsp_put(r, ";");
	}
}

static void put_point(struct rsp *r)
{
	static const char *const name[] = {"", "", "watch", "rwatch", "awatch"};
	const struct rsp_stop *s = &r->stop;

	if (s->point != RSP_HARDWARE)
		rsp_printf(r, "%s:%llx;", name[s->point], (unsigned long long)s->va);
	else if (r->hwbreak)
		rsp_put(r, "hwbreak:;");
}

void rsp_put_stop(struct rsp *r)
{
	const struct rsp_stop *s = &r->stop;

	switch (s->why) {
	case RSP_EXITED: rsp_printf(r, "W%02x", s->value); return;
	case RSP_KILLED: rsp_printf(r, "X%02x", s->value); return;
	default:
		rsp_printf(r, "T%02xthread:%x;", s->value, s->thread);
		if (s->why == RSP_SWBREAK && r->swbreak)
			rsp_put(r, "swbreak:;");
		if (s->why == RSP_POINT)
			put_point(r);
		put_first_regs(r);
	}
}

/* No answer but the next stop; or an error now. */
static bool resume(struct rsp *r, const enum rsp_action action[RSP_THREADS + 1])
{
	r->running = true; /* rsp_stopped() may be called before it returns */
	if (r->target->resume(r->ctx, action))
		return true;
	r->running = false;
	put_error(r, WRONG);
	return false;
}

/* c, s, and with a signal, which a kernel has no use for: the address is an old gdb's. */
static bool resume_plain(struct rsp *r, bool step)
{
	enum rsp_action action[RSP_THREADS + 1] = {0};

	for (unsigned t = 1; t <= r->target->threads; t++)
		action[t] = step && t == r->thread ? RSP_STEP : RSP_CONTINUE;
	return resume(r, action);
}

/* One of vCont's, for those threads that none before it was for. */
static bool one_action(struct rsp *r, const char **p, enum rsp_action action[RSP_THREADS + 1],
		       bool given[RSP_THREADS + 1])
{
	const char what = **p | 0x20;
	const bool with_signal = **p == 'C' || **p == 'S';
	int64_t thread = -1;
	uint64_t signal;

	if (what != 'c' && what != 's')
		return false;
	++*p;
	if (with_signal && !rsp_hex(p, &signal))
		return false;
	if (rsp_skip(p, ':') && !thread_id(p, &thread))
		return false;
	if (!thread)
		thread = r->thread;
	for (unsigned t = 1; t <= r->target->threads; t++) {
		if (given[t] || (thread != -1 && (uint64_t)thread != t))
			continue;
		given[t] = true;
		action[t] = what == 's' ? RSP_STEP : RSP_CONTINUE;
	}
	return true;
}

static bool vcont(struct rsp *r, const char *p)
{
	enum rsp_action action[RSP_THREADS + 1] = {0};
	bool given[RSP_THREADS + 1] = {0}, any = false;

	while (rsp_skip(&p, ';'))
		if (!one_action(r, &p, action, given))
			break;
	for (unsigned t = 1; t <= r->target->threads; t++)
		any |= given[t] && alive(r, t);
	if (*p || !any) {
		put_error(r, WRONG);
		return false;
	}
	return resume(r, action);
}

/* ---- registers and memory ---- */

static void regs_read(struct rsp *r)
{
	struct rsp_regs regs;

	if (!alive(r, r->thread) || !r->target->regs_read(r->ctx, r->thread, &regs)) {
		put_error(r, FAULT);
		return;
	}
	for (unsigned i = 0; i < rsp_regs_count(); i++)
		rsp_put_reg(r, &regs, i);
}

static void reg_read(struct rsp *r, const char *p)
{
	struct rsp_regs regs;
	uint64_t i;

	if (!rsp_hex(&p, &i) || i >= rsp_regs_count() || !alive(r, r->thread) ||
	    !r->target->regs_read(r->ctx, r->thread, &regs))
		put_error(r, FAULT);
	else
		rsp_put_reg(r, &regs, i);
}

/* G: all of them, or as many as are given; P: one. */
static void regs_write(struct rsp *r, const char *p, bool one)
{
	struct rsp_regs regs;
	uint64_t i = 0;
	bool ok;

	ok = !one || (rsp_hex(&p, &i) && i < rsp_regs_count() && rsp_skip(&p, '='));
	ok = ok && alive(r, r->thread) && r->target->regs_read(r->ctx, r->thread, &regs);
	if (one)
		ok = ok && rsp_set_reg(&regs, i, &p);
	else
		for (; ok && *p && i < rsp_regs_count(); i++)
			ok = rsp_set_reg(&regs, i, &p);
	put_ok(r, ok && !*p && r->target->regs_write(r->ctx, r->thread, &regs));
}

static void memory_read(struct rsp *r, const char *p)
{
	uint8_t buf[RSP_PACKET / 2];
	uint64_t va, n;

	if (!rsp_hex(&p, &va) || !rsp_skip(&p, ',') || !rsp_hex(&p, &n) || *p ||
	    !alive(r, r->thread)) {
		put_error(r, WRONG);
		return;
	}
	if (n > sizeof(buf)) /* less than asked for is an answer */
		n = sizeof(buf);
	if (n)
		n = r->target->memory_read(r->ctx, r->thread, va, buf, n);
	if (n)
		rsp_put_hex(r, buf, n);
	else
		put_error(r, FAULT);
}

/* M has hex, X bytes as they are (end: of the packet). */
static void memory_write(struct rsp *r, const char *p, const char *end, bool hex)
{
	uint8_t buf[RSP_PACKET / 2];
	const void *from = buf;
	uint64_t va, n;

	if (!rsp_hex(&p, &va) || !rsp_skip(&p, ',') || !rsp_hex(&p, &n) || !rsp_skip(&p, ':') ||
	    !alive(r, r->thread)) {
		put_error(r, WRONG);
		return;
	}
	if (!hex)
		from = p;
	if (hex ? rsp_hex_bytes(p, buf, sizeof(buf)) != n : (uint64_t)(end - p) != n)
		put_error(r, WRONG);
	else if (n && r->target->memory_write(r->ctx, r->thread, va, from, n) != n)
		put_error(r, FAULT);
	else
		rsp_put(r, "OK");
}

static void point(struct rsp *r, const char *p, bool set)
{
	uint64_t kind, va, size;
	int err;

	if (!rsp_hex(&p, &kind) || !rsp_skip(&p, ',') || !rsp_hex(&p, &va) || !rsp_skip(&p, ',') ||
	    !rsp_hex(&p, &size) || !alive(r, r->thread)) {
		put_error(r, WRONG);
		return;
	}
	if (kind == RSP_HARDWARE) /* of it, `size` says something else */
		size = 1;
	err = kind <= RSP_ACCESS ? r->target->point(r->ctx, r->thread, kind, va, size, set)
				 : ENOSYS;
	if (err == ENOSYS)
		return;
	if (err)
		put_error(r, err);
	else
		rsp_put(r, "OK");
}

/* ---- queries ---- */

static void threads(struct rsp *r, unsigned first)
{
	const unsigned t = next_alive(r, first);

	r->next_thread = t + 1;
	if (t)
		rsp_printf(r, "m%x", t);
	else
		rsp_put(r, "l");
}

static void thread_extra(struct rsp *r, const char *p)
{
	char text[128] = "";
	int64_t t;

	if (!thread_id(&p, &t) || t < 1 || !alive(r, t)) {
		put_error(r, WRONG);
		return;
	}
	r->target->describe(r->ctx, t, text, sizeof(text));
	rsp_put_hex(r, text, strlen(text));
}

/* qXfer:features:read:target.xml:OFFSET,LENGTH */
static void features(struct rsp *r, const char *p)
{
	static const char name[] = "target.xml:";
	char xml[8192];
	uint64_t offset, n;
	size_t size;

	if (strncmp(p, name, sizeof(name) - 1)) {
		rsp_put(r, "E00");
		return;
	}
	p += sizeof(name) - 1;
	size = rsp_target_xml(xml, sizeof(xml));
	if (!rsp_hex(&p, &offset) || !rsp_skip(&p, ',') || !rsp_hex(&p, &n) || offset > size) {
		put_error(r, WRONG);
		return;
	}
	if (n > RSP_PACKET / 2)
		n = RSP_PACKET / 2;
	rsp_put(r, n < size - offset ? "m" : "l");
	rsp_put_binary(r, xml + offset, n < size - offset ? n : size - offset);
}

/* What follows `prefix` in text, or NULL. */
static const char *after(const char *text, const char *prefix)
{
	const size_t n = strlen(prefix);

	return strncmp(text, prefix, n) ? NULL : text + n;
}

static void query(struct rsp *r, const char *text)
{
	const char *p;

	if ((p = after(text, "qSupported"))) {
		r->swbreak = strstr(p, "swbreak+");
		r->hwbreak = strstr(p, "hwbreak+");
		rsp_printf(r, "PacketSize=%x;QStartNoAckMode+;qXfer:features:read+;vContSupported+",
			   RSP_PACKET);
		rsp_put(r, r->swbreak ? ";swbreak+" : "");
		rsp_put(r, r->hwbreak ? ";hwbreak+" : "");
	} else if ((p = after(text, "qXfer:features:read:"))) {
		features(r, p);
	} else if ((p = after(text, "qThreadExtraInfo,"))) {
		thread_extra(r, p);
	} else if (!strcmp(text, "qfThreadInfo")) {
		threads(r, 1);
	} else if (!strcmp(text, "qsThreadInfo")) {
		threads(r, r->next_thread);
	} else if (!strcmp(text, "qC")) {
		rsp_printf(r, "QC%x", r->thread);
	} else if (after(text, "qAttached")) {
		rsp_put(r, "1"); /* so that gdb's end is not the domain's */
	} else if (after(text, "qSymbol:")) {
		rsp_put(r, "OK");
	}
}

/* H: the thread of the packets to come. Hc is of gdbs without vCont, which resumes by r->thread. */
static void select_thread(struct rsp *r, const char *p)
{
	int64_t t;

	if ((*p != 'g' && *p != 'c') || (++p, !thread_id(&p, &t)) || *p ||
	    (t > 0 && !alive(r, t))) {
		put_error(r, WRONG);
		return;
	}
	if (t > 0)
		r->thread = t;
	rsp_put(r, "OK");
}

/* ---- packets whose answer is not simply sent ---- */

static void start_no_ack(struct rsp *r)
{
	rsp_put(r, "OK");
	r->no_ack = true;
}

/* True: there is no answer to send now. */
static bool v_packet(struct rsp *r, const char *text)
{
	if (!strcmp(text, "vCont?")) {
		rsp_put(r, "vCont;c;C;s;S");
	} else if (after(text, "vCont;")) {
		return vcont(r, text + 5);
	} else if (after(text, "vKill")) {
		r->target->kill(r->ctx);
		r->ended = true;
		rsp_put(r, "OK");
	}
	return false;
}

static bool handle(struct rsp *r, const char *text, const char *end)
{
	const char *p = text + 1;
	int64_t t;

	switch (text[0]) {
	case '?': rsp_put_stop(r); break;
	case 'g': regs_read(r); break;
	case 'G': regs_write(r, p, false); break;
	case 'p': reg_read(r, p); break;
	case 'P': regs_write(r, p, true); break;
	case 'm': memory_read(r, p); break;
	case 'M': memory_write(r, p, end, true); break;
	case 'X': memory_write(r, p, end, false); break;
	case 'Z': point(r, p, true); break;
	case 'z': point(r, p, false); break;
	case 'H': select_thread(r, p); break;
	case 'T': put_ok(r, thread_id(&p, &t) && t > 0 && alive(r, t)); break;
	case 'q': query(r, text); break;
	case 'Q':
		if (!strcmp(text, "QStartNoAckMode"))
			start_no_ack(r);
		break;
	case 'v': return v_packet(r, text);
	case 'c':
	case 'C': return resume_plain(r, false);
	case 's':
	case 'S': return resume_plain(r, true);
	case 'D':
		r->target->detach(r->ctx);
		r->ended = true;
		rsp_put(r, "OK");
		break;
	case 'k':
		r->target->kill(r->ctx);
		r->ended = true;
		return true;
	}
	return false;
}

void rsp_command(struct rsp *r, char *text, size_t n)
{
	rsp_begin(r);
	if (!handle(r, text, text + n))
		rsp_end(r);
	else if (r->running)
		r->out_len = 0; /* nothing to send again */
}
