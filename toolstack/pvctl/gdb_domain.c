/* SPDX-License-Identifier: MIT */
/*
 * A domain as gdb's target: domctls of Xen's gdbsx, and pvd's own for breakpoints. A thread of
 * gdb's is a vCPU; its number is the vCPU's and one.
 */
#include "toolstack/pvctl/gdb.h"
#include "toolstack/pvctl/pvctl.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <xen/domctl.h>

#include "toolstack/pvd/client.h"

#define DATA_MAX    4096
#define STOP_MS	    60000 /* until every vCPU stands still */
#define VECTOR_BP   3
#define EVENT_CRASH 256 /* vcpu_ev: the domain crashes once it is resumed */

struct order {
	struct xen_domctl domctl;
	uint8_t data[DATA_MAX];
};

static struct order *order(struct debuggee *d, uint32_t cmd)
{
	struct order *o = d->buf;

	memset(&o->domctl, 0, sizeof(o->domctl));
	o->domctl.cmd = cmd;
	o->domctl.interface_version = XEN_DOMCTL_INTERFACE_VERSION;
	o->domctl.domain = d->domid;
	return o;
}

/* 0, or -1 with errno. */
static int give(struct debuggee *d, struct order *o)
{
	return xencall1(d->call, __HYPERVISOR_domctl, (uint64_t)&o->domctl);
}

static int set_debugging(struct debuggee *d, bool on)
{
	struct order *o = order(d, XEN_DOMCTL_setdebugging);

	o->domctl.u.setdebugging.enable = on;
	return give(d, o);
}

static int hold(struct debuggee *d, unsigned vcpu, bool on)
{
	struct order *o = order(d, on ? XEN_DOMCTL_gdbsx_pausevcpu : XEN_DOMCTL_gdbsx_unpausevcpu);

	o->domctl.u.gdbsx_pauseunp_vcpu.vcpu = vcpu;
	return give(d, o);
}

static int step(struct debuggee *d, unsigned vcpu, bool on)
{
	struct order *o = order(d, XEN_DOMCTL_debug_op);

	o->domctl.u.debug_op.op = on ? XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_ON
				     : XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_OFF;
	o->domctl.u.debug_op.vcpu = vcpu;
	return give(d, o);
}

static bool status(struct debuggee *d, struct xen_domctl_gdbsx_domstatus *s)
{
	struct order *o = order(d, XEN_DOMCTL_gdbsx_domstatus);

	if (give(d, o))
		return false;
	*s = o->domctl.u.gdbsx_domstatus;
	if (s->vcpu_ev && s->vcpu_id >= d->vcpus) /* its process says so */
		s->vcpu_ev = 0;
	return true;
}

/* ---- what rsp.h asks ---- */

static bool alive(void *ctx, unsigned thread)
{
	struct debuggee *d = ctx;
	xc_vcpuinfo_t info;

	if (thread == 1) /* gdb must have one */
		return true;
	return !xc_vcpu_getinfo(xch, d->domid, thread - 1, &info) && info.online;
}

static bool context(struct debuggee *d, unsigned thread, vcpu_guest_context_any_t *c)
{
	return !xc_vcpu_getcontext(xch, d->domid, thread - 1, c);
}

static void describe(void *ctx, unsigned thread, char *buf, size_t size)
{
	vcpu_guest_context_any_t c;

	if (context(ctx, thread, &c))
		snprintf(buf, size, "vCPU %u, %s", thread - 1,
			 c.c.flags & VGCF_in_kernel ? "kernel" : "user");
}

/* A member of rsp_regs each, and where it is in user_regs. */
#define FIELD(name) offsetof(struct cpu_user_regs, name)
static const uint16_t gpr_at[16] = {FIELD(rax), FIELD(rbx), FIELD(rcx), FIELD(rdx),
				    FIELD(rsi), FIELD(rdi), FIELD(rbp), FIELD(rsp),
				    FIELD(r8),	FIELD(r9),  FIELD(r10), FIELD(r11),
				    FIELD(r12), FIELD(r13), FIELD(r14), FIELD(r15)};
static const uint16_t seg_at[6] = {FIELD(cs), FIELD(ss), FIELD(ds),
				   FIELD(es), FIELD(fs), FIELD(gs)};

static bool regs_read(void *ctx, unsigned thread, struct rsp_regs *r)
{
	vcpu_guest_context_any_t c;
	const uint8_t *u = (uint8_t *)&c.c.user_regs;
	bool kernel;

	if (!context(ctx, thread, &c))
		return false;
	memset(r, 0, sizeof(*r));
	for (unsigned i = 0; i < 16; i++)
		memcpy(&r->gpr[i], u + gpr_at[i], 8);
	for (unsigned i = 0; i < 6; i++)
		memcpy(&r->seg[i], u + seg_at[i], 2);
	kernel = c.c.flags & VGCF_in_kernel;
	r->rip = c.c.user_regs.rip;
	r->rflags = c.c.user_regs.rflags;
	r->fs_base = c.c.fs_base;
	r->gs_base = kernel ? c.c.gs_base_kernel : c.c.gs_base_user;
	r->k_gs_base = kernel ? c.c.gs_base_user : c.c.gs_base_kernel;
	r->cr2 = c.c.ctrlreg[2];
	if (c.c.flags & VGCF_i387_valid)
		vectors_get(r, (const uint8_t *)&c.c.fpu_ctxt);
	r->cr3 = kernel || !c.c.ctrlreg[1] ? c.c.ctrlreg[3] : c.c.ctrlreg[1];
	return true;
}

static bool regs_write(void *ctx, unsigned thread, const struct rsp_regs *r)
{
	struct debuggee *d = ctx;
	vcpu_guest_context_any_t c;
	uint8_t *u = (uint8_t *)&c.c.user_regs;
	bool kernel;

	if (!context(d, thread, &c))
		return false;
	for (unsigned i = 0; i < 16; i++)
		memcpy(u + gpr_at[i], &r->gpr[i], 8);
	for (unsigned i = 0; i < 6; i++)
		memcpy(u + seg_at[i], &r->seg[i], 2);
	kernel = c.c.flags & VGCF_in_kernel;
	c.c.user_regs.rip = r->rip;
	c.c.user_regs.rflags = r->rflags;
	if (c.c.flags & VGCF_i387_valid && r->vectors)
		vectors_put(r, (uint8_t *)&c.c.fpu_ctxt);
	c.c.fs_base = r->fs_base;
	c.c.gs_base_kernel = kernel ? r->gs_base : r->k_gs_base;
	c.c.gs_base_user = kernel ? r->k_gs_base : r->gs_base;
	return !xc_vcpu_setcontext(xch, d->domid, thread - 1, &c);
}

/* At most DATA_MAX bytes, in o->data; how many there are. */
static size_t memory_part(struct debuggee *d, struct order *o, unsigned thread, uint64_t va,
			  size_t n, bool write)
{
	struct xen_domctl_gdbsx_memio *m = &o->domctl.u.gdbsx_guest_memio;

	m->pgd3val = thread - 1; /* pvd's meaning of it */
	m->gva = va;
	m->uva = (uint64_t)o->data;
	m->len = n;
	m->gwr = write;
	if (give(d, o) || m->remain > n)
		return 0;
	return n - m->remain;
}

static size_t memory_read(void *ctx, unsigned thread, uint64_t va, void *buf, size_t n)
{
	struct debuggee *d = ctx;
	size_t done = 0, len, got = 1;

	for (; done < n && got; done += got) {
		struct order *o = order(d, XEN_DOMCTL_gdbsx_guestmemio);

		len = n - done < DATA_MAX ? n - done : DATA_MAX;
		got = memory_part(d, o, thread, va + done, len, false);
		memcpy((uint8_t *)buf + done, o->data, got);
	}
	return done;
}

static size_t memory_write(void *ctx, unsigned thread, uint64_t va, const void *buf, size_t n)
{
	struct debuggee *d = ctx;
	size_t done = 0, len, got = 1;

	for (; done < n && got; done += got) {
		struct order *o = order(d, XEN_DOMCTL_gdbsx_guestmemio);

		len = n - done < DATA_MAX ? n - done : DATA_MAX;
		memcpy(o->data, (const uint8_t *)buf + done, len);
		got = memory_part(d, o, thread, va + done, len, true);
	}
	return done;
}

static int hardware_point(struct debuggee *d, enum rsp_point kind, uint64_t va, uint64_t n,
			  bool set)
{
	struct order *o = order(d, PVD_DOMCTL_point);
	struct xen_domctl_gdbsx_memio *m = &o->domctl.u.gdbsx_guest_memio;

	m->pgd3val = kind;
	m->gva = va;
	m->len = n <= UINT32_MAX ? n : 0;
	m->gwr = set;
	if (give(d, o))
		return errno;
	if (m->remain >= PVD_POINTS)
		return EIO;
	d->point[m->remain] = (struct debuggee_point){set ? kind : RSP_SOFTWARE, va};
	return 0;
}

static int point(void *ctx, unsigned thread, enum rsp_point kind, uint64_t va, uint64_t n, bool set)
{
	struct order *o;

	if (kind != RSP_SOFTWARE)
		return hardware_point(ctx, kind, va, n, set);
	o = order(ctx, PVD_DOMCTL_breakpoint);
	o->domctl.u.gdbsx_guest_memio.pgd3val = thread - 1;
	o->domctl.u.gdbsx_guest_memio.gva = va;
	o->domctl.u.gdbsx_guest_memio.gwr = set;
	return give(ctx, o) ? errno : 0;
}

/* The point that an event is about; its kind is RSP_SOFTWARE if it is about none. */
static struct debuggee_point point_of(const struct debuggee *d, uint32_t event)
{
	const uint32_t i = event - PVD_EVENT_POINT;

	return i < PVD_POINTS ? d->point[i] : (struct debuggee_point){RSP_SOFTWARE, 0};
}

/*
 * Events beside the one that gdb is told of. A breakpoint will be met again; an access that is
 * watched has been made, and is told of later.
 */
static void keep_events(struct debuggee *d)
{
	struct xen_domctl_gdbsx_domstatus s;

	for (unsigned i = 0; i <= d->vcpus && status(d, &s) && s.vcpu_ev; i++) {
		const struct debuggee_point p = point_of(d, s.vcpu_ev);

		if (p.kind > RSP_HARDWARE && s.vcpu_id < RSP_THREADS)
			d->met[s.vcpu_id] = p;
	}
}

/* Is there such a one, of what gdb still watches? It is told now. */
static bool told_before(struct debuggee *d)
{
	for (unsigned v = 0; v < RSP_THREADS; v++) {
		struct debuggee_point *p = &d->met[v];

		for (unsigned i = 0; p->kind && i < PVD_POINTS; i++)
			if (d->point[i].kind == p->kind && d->point[i].va == p->va) {
				rsp_stopped(&d->rsp,
					    (struct rsp_stop){RSP_POINT, v + 1, RSP_SIGTRAP,
							      p->kind, p->va});
				p->kind = RSP_SOFTWARE;
				return true;
			}
	}
	return false;
}

static bool resume(void *ctx, const enum rsp_action action[RSP_THREADS + 1])
{
	struct debuggee *d = ctx;

	keep_events(d);
	if (told_before(d))
		return true;
	for (unsigned i = 0; i < d->vcpus; i++)
		if (step(d, i, action[i + 1] == RSP_STEP))
			return false;
	for (unsigned i = 0; i < d->vcpus; i++)
		if (action[i + 1] != RSP_STAY && hold(d, i, false))
			return false;
	return true;
}

/* ---- stopping ---- */

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000UL + ts.tv_nsec / 1000000;
}

/* Until all vCPUs stand still. `event`: the first that there is, if it is none yet. */
static bool stop_all(struct debuggee *d, struct xen_domctl_gdbsx_domstatus *event)
{
	const uint64_t until = now_ms() + STOP_MS;
	struct xen_domctl_gdbsx_domstatus s;

	for (unsigned i = 0; i < d->vcpus; i++)
		if (hold(d, i, true))
			return false;
	for (;;) {
		if (!status(d, &s))
			return false;
		if (s.vcpu_ev && !event->vcpu_ev)
			*event = s;
		if (s.paused)
			return true;
		if (now_ms() > until) {
			errno = ETIMEDOUT;
			return false;
		}
		usleep(200);
	}
}

static void tell_end(struct debuggee *d)
{
	struct rsp_stop stop = {.why = RSP_EXITED};
	xc_domaininfo_t info;
	const bool there = domain_alive(d->domid, &info);
	const unsigned reason =
		there ? info.flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask : 0;

	if (there && reason == SHUTDOWN_crash)
		stop = (struct rsp_stop){.why = RSP_KILLED, .thread = 1, .value = RSP_SIGABRT};
	rsp_stopped(&d->rsp, stop);
}

static bool has_ended(struct debuggee *d)
{
	xc_domaininfo_t info;

	return !domain_alive(d->domid, &info) ||
	       info.flags & (XEN_DOMINF_shutdown | XEN_DOMINF_dying);
}

/* Everything stops; without an event of the domain's it is gdb's own wish. */
static void stop_and_tell(struct debuggee *d, struct xen_domctl_gdbsx_domstatus *s)
{
	struct rsp_stop stop = {.why = RSP_SIGNALLED, .thread = d->rsp.thread};
	struct debuggee_point p;

	if (!stop_all(d, s)) {
		tell_end(d);
		return;
	}
	stop.value = !s->vcpu_ev		 ? RSP_SIGINT
		     : s->vcpu_ev == EVENT_CRASH ? RSP_SIGABRT
						 : RSP_SIGTRAP;
	if (s->vcpu_ev)
		stop.thread = s->vcpu_id + 1;
	if (s->vcpu_ev == VECTOR_BP)
		stop.why = RSP_SWBREAK;
	p = point_of(d, s->vcpu_ev);
	if (p.kind) {
		stop.why = RSP_POINT;
		stop.point = p.kind;
		stop.va = p.va;
	}
	keep_events(d);
	rsp_stopped(&d->rsp, stop);
}

static void interrupt(void *ctx)
{
	struct xen_domctl_gdbsx_domstatus s = {0};

	stop_and_tell(ctx, &s);
}

int debuggee_fd(struct debuggee *d)
{
	return xenevtchn_fd(d->evtchn);
}

void debuggee_event(struct debuggee *d)
{
	struct xen_domctl_gdbsx_domstatus s;
	const xenevtchn_port_or_error_t port = xenevtchn_pending(d->evtchn);

	if (port < 0)
		return;
	xenevtchn_unmask(d->evtchn, port);
	if (has_ended(d))
		tell_end(d);
	else if ((evtchn_port_t)port == d->stopped && d->rsp.running && status(d, &s) && s.vcpu_ev)
		stop_and_tell(d, &s);
}

int debuggee_broker(struct debuggee *d)
{
	return xencall_fd(d->call);
}

void debuggee_lost(struct debuggee *d)
{
	tell_end(d);
}

/* ---- beginning and end ---- */

static void detach(void *ctx)
{
	set_debugging(ctx, false);
}

/* When gdb has been answered. */
static void kill_later(void *ctx)
{
	((struct debuggee *)ctx)->kill = true;
}

static void send_all(void *ctx, const void *bytes, size_t n)
{
	struct debuggee *d = ctx;

	while (n) {
		const ssize_t done = write(d->out, bytes, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0) {
			d->rsp.ended = true;
			return;
		}
		bytes = (const uint8_t *)bytes + done;
		n -= done;
	}
}

static bool fail(struct debuggee *d, const char *what)
{
	complain("domain %u cannot be debugged: %s: %s", d->domid, what,
		 errno == EBUSY ? "it has a debugger" : strerror(errno));
	debuggee_close(d);
	return false;
}

static bool listen_to_pvd(struct debuggee *d)
{
	xenevtchn_port_or_error_t stopped, ended;

	d->evtchn = xenevtchn_open(NULL, 0);
	if (!d->evtchn)
		return false;
	stopped = xenevtchn_bind_virq(d->evtchn, VIRQ_DEBUGGER);
	ended = xenevtchn_bind_virq(d->evtchn, VIRQ_DOM_EXC);
	d->stopped = stopped;
	d->ended = ended;
	return stopped >= 0 && ended >= 0;
}

bool debuggee_watches(uint32_t domid)
{
	struct debuggee d = {.domid = domid, .call = xencall_open(NULL, 0)};
	bool has = false;

	if (d.call)
		d.buf = xencall_alloc_buffer(d.call, sizeof(struct order));
	if (d.buf)
		has = hardware_point(&d, RSP_WRITE, 0, 0, false) == EINVAL;
	if (d.buf)
		xencall_free_buffer(d.call, d.buf);
	if (d.call)
		xencall_close(d.call);
	return has;
}

bool debuggee_open(struct debuggee *d, uint32_t domid, int out)
{
	static struct rsp_target target = {
		.alive = alive,
		.describe = describe,
		.regs_read = regs_read,
		.regs_write = regs_write,
		.memory_read = memory_read,
		.memory_write = memory_write,
		.point = point,
		.resume = resume,
		.interrupt = interrupt,
		.detach = detach,
		.kill = kill_later,
		.send = send_all,
	};
	struct xen_domctl_gdbsx_domstatus s = {0};
	xc_domaininfo_t info;

	memset(d, 0, sizeof(*d));
	d->domid = domid;
	d->out = out;
	d->call = xencall_open(NULL, 0);
	if (d->call)
		d->buf = xencall_alloc_buffer(d->call, sizeof(struct order));
	if (!d->buf || !listen_to_pvd(d))
		return fail(d, "the broker");
	if (has_ended(d) || !domain_alive(domid, &info)) {
		errno = ESRCH;
		return fail(d, "it has ended");
	}
	target.threads = d->vcpus = info.max_vcpu_id + 1;
	if (d->vcpus > RSP_THREADS) {
		errno = E2BIG;
		return fail(d, "its vCPUs");
	}
	if (set_debugging(d, true))
		return fail(d, "attach");
	if (!stop_all(d, &s))
		return fail(d, "stop it");
	/* One that was made paused runs when gdb says so. */
	if (info.flags & XEN_DOMINF_paused)
		xc_domain_unpause(xch, domid);
	rsp_init(&d->rsp, &target, d,
		 (struct rsp_stop){.why = RSP_SIGNALLED, .thread = 1, .value = RSP_SIGTRAP});
	return true;
}

void debuggee_close(struct debuggee *d)
{
	if (d->buf) {
		set_debugging(d, false);
		xencall_free_buffer(d->call, d->buf);
	}
	if (d->call)
		xencall_close(d->call);
	if (d->evtchn)
		xenevtchn_close(d->evtchn);
	if (d->kill)
		domain_remove(d->domid);
}
