/* SPDX-License-Identifier: MIT */
/* The broker's requests (enum pvdom_ctl), carried out with the domain's lock held. */
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "hypercalls/monitor/trace.h"
#include "hypercalls/pvdom/pvdom.h"

static uint8_t in_buf[PVDOM_MAX_PAYLOAD], out_buf[PVDOM_MAX_PAYLOAD];

/* The memfd is as large as it will ever be: map it, and let the frame table begin. */
static long set_max_mem(struct domain *d, uint64_t max_pages)
{
	const uint64_t frames = PVDOM_MFN_RAM + max_pages;

	if (d->ram) { /* later changes stay within what was sealed */
		if (max_pages > d->nr_frames - PVDOM_MFN_RAM)
			return -ENOMEM;
		d->max_pages = max_pages;
		return 0;
	}
	if (!max_pages || max_pages > 1UL << 32)
		return -EINVAL;
	d->ram = mmap(NULL, frames << PAGE_SHIFT, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_NORESERVE, d->ram_fd, 0);
	if (d->ram == MAP_FAILED) {
		d->ram = NULL;
		return -ENOMEM;
	}
	d->nr_frames = frames;
	d->max_pages = max_pages;
	d->shared = frame_ptr(d, PVDOM_MFN_SHARED_INFO);
	if (!d->grant_frames)
		d->grant_frames = 1;
	for (unsigned i = 0; i < d->nr_vcpus && i < XEN_LEGACY_MAX_VCPUS; i++) {
		d->vcpu[i]->info = &d->shared->vcpu_info[i];
		d->vcpu[i]->info->evtchn_upcall_mask = 1;
	}
	if (frame_init(d))
		return -ENOMEM;
	limits_set(d, frame_tables(d));
	return d->provider->memory_ready ? d->provider->memory_ready(d) : 0;
}

static uint64_t thread_time(struct vcpu *v)
{
	struct timespec ts;
	clockid_t clock;

	if (pthread_getcpuclockid(v->thread, &clock) || clock_gettime(clock, &ts))
		return 0;
	return ts.tv_sec * 1000000000UL + ts.tv_nsec;
}

static void info(struct domain *d, struct pvdom_info *i)
{
	memset(i, 0, sizeof(*i));
	i->tot_pages = d->tot_pages;
	i->max_pages = d->max_pages;
	i->blocked = i->held = 1;
	for (unsigned n = 0; n < d->nr_vcpus; n++) {
		struct vcpu *v = d->vcpu[n];

		i->cpu_time_ns += thread_time(v);
		i->online_vcpus += v->online;
		if (v->online && !v->blocked)
			i->blocked = 0;
		if (v->online && !v->held)
			i->held = 0;
	}
	__builtin_strcpy(i->provider, d->provider->tier ? d->provider->tier() : d->provider->name);
	if (d->provider_why)
		__builtin_strcpy(i->provider_why, d->provider_why);
	memcpy(i->sandbox, d->sandbox, sizeof(i->sandbox));
}

static long hypercall_page(struct domain *d, uint64_t mfn)
{
	if (!frame_is_ram(d, mfn))
		return -EINVAL;
	d->provider->fill_hypercall_page(d, frame_ptr(d, mfn));
	d->hypercall_mfn = mfn;
	return 0;
}

/* Before the first context: is the provider one for a kernel that starts there? */
static int provider_fit(struct domain *d, const struct vcpu_guest_context *c)
{
	int rc;

	if (!d->upper || d->vcpu[0]->initialised || c->user_regs.rip < HYPERVISOR_END)
		return 0;
	rc = d->upper->memory_ready ? d->upper->memory_ready(d) : 0;
	if (rc)
		return rc;
	d->provider = d->upper;
	d->upper = NULL;
	if (d->hypercall_mfn && frame_is_ram(d, d->hypercall_mfn))
		d->provider->fill_hypercall_page(d, frame_ptr(d, d->hypercall_mfn));
	return 0;
}

static long memory_map(struct domain *d, const void *e820, uint32_t len)
{
	if (len % sizeof(d->e820[0]) || len > sizeof(d->e820))
		return -EINVAL;
	memcpy(d->e820, e820, len);
	d->nr_e820 = len / sizeof(d->e820[0]);
	return 0;
}

/* Requests that name a vCPU. */
static long vcpu_request(struct domain *d, const struct pvdom_req *q, struct pvdom_rsp *rsp)
{
	struct pvdom_vcpu_info *vi = (void *)out_buf;
	struct vcpu *v;

	if (q->arg[0] >= d->nr_vcpus)
		return -EINVAL;
	v = d->vcpu[q->arg[0]];
	switch (q->op) {
	case CTL_SET_CONTEXT: {
		long rc;

		if (q->len != sizeof(struct vcpu_guest_context))
			return -EINVAL;
		rc = provider_fit(d, (void *)in_buf);
		if (!rc)
			rc = vcpu_set_context(v, (void *)in_buf);
		if (!rc)
			v->online = true;
		v->replaced |= !rc && v->blocked;
		vcpu_wake(v);
		return rc;
	}
	case CTL_GET_CONTEXT:
		vcpu_get_context(v, (void *)out_buf);
		rsp->len = sizeof(struct vcpu_guest_context);
		return 0;
	case CTL_DEBUG_HOLD: debug_hold(v, q->arg[1]); return 0;
	case CTL_DEBUG_STEP: return debug_step(v, q->arg[1]);
	case CTL_DEBUG_READ:
		if (q->arg[2] > sizeof(out_buf))
			return -EINVAL;
		rsp->len = debug_read(v, q->arg[1], out_buf, q->arg[2]);
		return rsp->len;
	case CTL_DEBUG_WRITE: return debug_write(v, q->arg[1], in_buf, q->len);
	case CTL_DEBUG_BREAK: return debug_breakpoint(v, q->arg[1], q->arg[2]);
	default:
		memset(vi, 0, sizeof(*vi));
		vi->online = v->online;
		vi->blocked = v->blocked;
		vi->running = v->online && !v->blocked && !d->pause;
		vi->cpu_time_ns = thread_time(v);
		rsp->len = sizeof(*vi);
		return 0;
	}
}

static long frames_hold(struct domain *d, uint64_t mfn, uint64_t n)
{
	uint64_t held = 0;

	while (held < n && frame_is_ram(d, mfn + held) &&
	       !frame_get_type(d, mfn + held, FT_WRITABLE))
		held++;
	return held;
}

static long frames_drop(struct domain *d, uint64_t mfn, uint64_t n)
{
	for (uint64_t i = mfn; i - mfn < n; i++) {
		if (i >= d->nr_frames || !d->frame[i].type_count || d->frame[i].type != FT_WRITABLE)
			return -EINVAL;
		frame_put_type(d, i, FT_WRITABLE);
	}
	return 0;
}

static long trace(struct domain *d, uint64_t what, int fds[2])
{
	if (what & ~(uint64_t)TRACE_ALL || !what != (fds[0] < 0))
		return -EINVAL;
	trace_set(d, what, fds[0]);
	fds[0] = -1;
	return 0;
}

static long check(struct domain *d, uint64_t times, int fds[2])
{
	long rc = d->provider->check ? d->provider->check(d, times, fds[0]) : -EOPNOTSUPP;

	if (!rc)
		fds[0] = -1;
	return rc;
}

static long request(struct domain *d, const struct pvdom_req *q, struct pvdom_rsp *rsp, int fds[2])
{
	const unsigned n = q->len / sizeof(uint64_t);
	long rc;

	if (!d->ram && q->op != CTL_SET_MAX_MEM && q->op != CTL_INFO && q->op != CTL_VCPU_INFO &&
	    q->op != CTL_PAUSE && q->op != CTL_UNPAUSE && q->op != CTL_SHUTDOWN)
		return -EINVAL;
	switch (q->op) {
	case CTL_SET_MAX_MEM: return set_max_mem(d, q->arg[0]);
	case CTL_POPULATE:
		rc = toolstack_populate(d, q->arg[0], (void *)in_buf, (void *)out_buf, n);
		rsp->len = rc > 0 ? rc * sizeof(uint64_t) : 0;
		return rc;
	case CTL_DECREASE: return toolstack_decrease(d, q->arg[0], (void *)in_buf, n);
	case CTL_SET_MEMORY_MAP: return memory_map(d, in_buf, q->len);
	case CTL_MMUEXT: return toolstack_mmuext(d, q->arg[0], q->arg[1]);
	case CTL_HYPERCALL_PAGE: return hypercall_page(d, q->arg[0]);
	case CTL_SET_CONTEXT:
	case CTL_GET_CONTEXT:
	case CTL_VCPU_INFO:
	case CTL_DEBUG_HOLD:
	case CTL_DEBUG_STEP:
	case CTL_DEBUG_READ:
	case CTL_DEBUG_WRITE:
	case CTL_DEBUG_BREAK: return vcpu_request(d, q, rsp);
	case CTL_PAUSE:
		d->pause = 1;
		domain_wake(d);
		return 0;
	case CTL_UNPAUSE:
		d->pause = 0;
		domain_wake(d);
		return 0;
	case CTL_SHUTDOWN:
		d->shutdown = q->arg[0] & 0xff;
		domain_wake(d);
		return 0;
	case CTL_INFO:
		info(d, (void *)out_buf);
		rsp->len = sizeof(struct pvdom_info);
		return 0;
	case CTL_EVTCHN_ALLOC: return evtchn_alloc(d, q->arg[0]);
	case CTL_EVTCHN_CONNECT:
		if (fds[0] < 0 || fds[1] < 0)
			return -EINVAL;
		rc = evtchn_connect(d, q->arg[0], q->arg[1], q->arg[2], fds[0], fds[1]);
		if (!rc)
			fds[0] = fds[1] = -1;
		return rc;
	case CTL_LEND:
		if (fds[0] < 0)
			return -EINVAL;
		rc = frame_lend(d, q->arg[0], fds[0]);
		if (!rc)
			fds[0] = -1;
		return rc;
	case CTL_RETURN: return frame_return(d, q->arg[0]);
	case CTL_HOLD: return frames_hold(d, q->arg[0], q->arg[1]);
	case CTL_DROP: return frames_drop(d, q->arg[0], q->arg[1]);
	case CTL_EVTCHN_DISCONNECT: return evtchn_disconnect(d, q->arg[0], q->arg[1], q->arg[2]);
	case CTL_EVTCHN_STATUS:
		rsp->len = sizeof(struct evtchn_status);
		return evtchn_status(d, q->arg[0], (void *)out_buf);
	case CTL_SEND_VIRQ:
		if (q->arg[1] >= d->nr_vcpus || q->arg[0] >= NR_VIRQS)
			return -EINVAL;
		virq_raise(d->vcpu[q->arg[1]], q->arg[0]);
		return 0;
	case CTL_GRANT_FRAMES: return d->grant_frames;
	case CTL_TRACE: return trace(d, q->arg[0], fds);
	case CTL_CHECK: return check(d, q->arg[0], fds);
	case CTL_DEBUG: debug_attach(d, q->arg[0]); return 0;
	case CTL_DEBUG_POINT: return debug_point(d, q->arg[0], q->arg[1], q->arg[2], q->arg[3]);
	case CTL_DEBUG_STATUS: {
		struct pvdom_debug *s = (void *)out_buf;

		memset(s, 0, sizeof(*s));
		s->still = debug_report(d, &s->vcpu, &s->event);
		rsp->len = sizeof(*s);
		return 0;
	}
	default: return -ENOSYS;
	}
}

bool control_serve(struct domain *d)
{
	struct pvdom_req q;
	struct pvdom_rsp rsp = {0};
	union {
		char buf[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec riov[2] = {{&q, sizeof(q)}, {in_buf, sizeof(in_buf)}};
	struct msghdr r = {.msg_iov = riov,
			   .msg_iovlen = 2,
			   .msg_control = control.buf,
			   .msg_controllen = sizeof(control.buf)};
	int fds[2] = {-1, -1};
	ssize_t n = recvmsg(d->ctl_fd, &r, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c;

	if (n <= 0)
		return n < 0 && (errno == EINTR || errno == EAGAIN);
	c = CMSG_FIRSTHDR(&r);
	if (c && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(2 * sizeof(int)))
		memcpy(fds, CMSG_DATA(c), sizeof(fds));
	if (n < (ssize_t)sizeof(q) || q.len != n - sizeof(q)) {
		rsp.ret = -EINVAL;
	} else {
		pthread_mutex_lock(&d->lock);
		rsp.ret = request(d, &q, &rsp, fds);
		pthread_mutex_unlock(&d->lock);
	}
	for (int i = 0; i < 2; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (rsp.ret < 0)
		rsp.len = 0;
	struct iovec siov[2] = {{&rsp, sizeof(rsp)}, {out_buf, rsp.len}};
	struct msghdr s = {.msg_iov = siov, .msg_iovlen = 2};

	return sendmsg(d->ctl_fd, &s, MSG_NOSIGNAL) >= 0;
}
