/* SPDX-License-Identifier: MIT */
/*
 * The translator's side of provider.h, and its loop: find the code for where the guest is, enter
 * the cache, see why it was left.
 *
 * While in_guest is set the cache's tables stay what they are, for other vCPUs wait for it to fall
 * before they empty anything. So what an exit's number means is looked up before that.
 */
#include <cpuid.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <asm/hwcap2.h>

#include "host-driver/providers/process/direct.h"
#include "host-driver/providers/process/translate/check.h"
#include "host-driver/providers/process/translate/spans.h"
#include "host-driver/providers/process/translate/trace.h"
#include "host-driver/providers/process/translate/windows.h"
#include "host-driver/providers/syscall_page.h"
#include "hypercalls/monitor/mm.h"

#define BMI2 (1U << 8) /* CPUID 7, ebx */

#define ASSERT_T(offset, member) \
	_Static_assert(offsetof(struct tr, member) == (offset), "translate.h: " #member)
ASSERT_T(T_R14, r14);
ASSERT_T(T_R15, r15);
ASSERT_T(T_RCX, rcx);
ASSERT_T(T_EA, ea);
ASSERT_T(T_ARG, arg);
ASSERT_T(T_HOST_RSP, host_rsp);
ASSERT_T(T_TARGET, target);
ASSERT_T(T_RESUME, resume);
ASSERT_T(T_PAGE_MASK, page_mask);
ASSERT_T(T_TLB_MASK, tlb_mask);
ASSERT_T(T_IBTC_MASK, ibtc_mask);
ASSERT_T(T_FS_BASE, fs_base);
ASSERT_T(T_GS_BASE, gs_base);
ASSERT_T(T_SCRATCH, scratch);
ASSERT_T(T_BITS32, bits32);
ASSERT_T(T_BITS64, bits64);
ASSERT_T(T_KICKED, kicked);
ASSERT_T(T_IBTC, ibtc);
ASSERT_T(T_RETURNS, returns);
ASSERT_T(T_RET_MASK, ret_mask);
ASSERT_T(T_GROUP, group);
ASSERT_T(T_KERNEL_TLB_MASK, kernel_tlb_mask);
ASSERT_T(T_RAX, rax);
ASSERT_T(T_R11, r11);
ASSERT_T(T_RSP, rsp);
ASSERT_T(T_CONTEXT, context);
ASSERT_T(T_NOW_USER, now[0]);
ASSERT_T(T_NOW_KERNEL, now[1]);
ASSERT_T(T_USER_CS, code64[0].cs);
ASSERT_T(T_USER_SS, code64[0].ss);
ASSERT_T(T_DESCRIPTORS, descriptor_changes);
ASSERT_T(T_CROSSES, crosses);
ASSERT_T(T_RESUME15, resume15);
ASSERT_T(T_WINDOW_MASK, window_mask);
ASSERT_T(T_WINDOW_BITS, window_bits);
ASSERT_T(T_USER_GS, user_gs);

#define ASSERT_V(offset, member) \
	_Static_assert(offsetof(struct vcpu, member) == (offset), "translate.h: " #member)
ASSERT_V(V_CS, regs.cs);
ASSERT_V(V_SS, regs.ss);
ASSERT_V(V_KERNEL_MODE, kernel_mode);
ASSERT_V(V_NMI_MASKED, nmi_masked);
ASSERT_V(V_KERNEL_SP, kernel_sp);
ASSERT_V(V_SYSCALL_CALLBACK, syscall_callback);
ASSERT_V(V_GS_KERNEL, gs_base_kernel);
ASSERT_V(V_GS_USER, gs_base_user);
ASSERT_V(V_INFO, info);
ASSERT_V(V_NMI_PENDING, nmi_pending);
_Static_assert(offsetof(struct vcpu_info, evtchn_upcall_pending) == INFO_PENDING, "translate.h");
_Static_assert(offsetof(struct vcpu_info, evtchn_upcall_mask) == INFO_MASK, "translate.h");
_Static_assert(CALL_IRET == __HYPERVISOR_iret, "translate.h: CALL_IRET");
_Static_assert(offsetof(struct tr_context, own) == 0, "GS is there");
_Static_assert(offsetof(struct tr_context, ibtc) == C_IBTC, "translate.h: ibtc");
_Static_assert(offsetof(struct tr_context, returns) == C_RETURNS, "translate.h: returns");
_Static_assert(offsetof(struct tr_context, page_here) == C_PAGES, "translate.h: page_here");
_Static_assert(offsetof(struct ibtc_entry, neg) == 0, "glue.S");
_Static_assert(offsetof(struct ibtc_entry, code) == 8, "glue.S");
_Static_assert(sizeof(struct ibtc_entry) == 8 << IBTC_SHIFT, "glue.S");
_Static_assert(sizeof(struct tlb_entry) == 1 << TLB_SHIFT, "translate.h: tlb_entry");
_Static_assert(offsetof(struct tlb_entry, read) == E_READ, "translate.h: tlb_entry");
_Static_assert(offsetof(struct tlb_entry, write_neg) == E_WRITE_NEG, "translate.h: tlb_entry");
_Static_assert(offsetof(struct tlb_entry, write) == E_WRITE, "translate.h: tlb_entry");

__thread struct tr tr;
__thread struct tlb_entry tr_kernel_tlb[KERNEL_TLB_SIZE];
uint64_t tr_stop;

static pid_t process_id; /* getpid() is not in the sandbox's list */

/* ---- one entry ---- */

/* One instruction without translating it: as somebody watches, or not. */
static void step(struct vcpu *v)
{
	if (debug_points)
		watch_step(v);
	else
		tr_step(v);
}

/* The instruction at rip wants `s` at tr.ea: its place, or NULL and that is dealt with. */
static uint8_t *memory_exit(struct vcpu *v, const struct site *s)
{
	uint8_t *p;

	if ((tr.ea & (PAGE_SIZE - 1)) + s->size > PAGE_SIZE || watch_page(tr.ea, s->access)) {
		step(v);
		return NULL;
	}
	p = tr_memory(v, tr.ea, s->access);
	/* A store to its own page ends a block; and tr_step knows #SS from #GP. */
	if (p ? blocks[s->block].dead : !tr_canonical(tr.ea)) {
		step(v);
		return NULL;
	}
	if (!p)
		tr_page_fault(v, tr.ea, s->access);
	return p;
}

bool tr_visit(struct vcpu *v, void *code, const uint8_t *resume, struct left *l)
{
	tr.target = (uint64_t)code;
	if (resume)
		tr.resume = tr.resume15 = (uint64_t)resume;
	if (!tr_enter())
		return false;
	l->why = tr_run(v);
	l->generation = code_generation;
	l->single = l->why == EXIT_LINK && links[tr.arg].single;
	switch (l->why) {
	case EXIT_LINK: v->regs.rip = links[tr.arg].target; break;
	case EXIT_INDIRECT: v->regs.rip = tr.ea; break;
	case EXIT_MEMORY:
	case EXIT_UPPER:
	case EXIT_WINDOW:
	case EXIT_SYSCALL:
	case EXIT_STEP:
		l->site = sites[tr.arg];
		v->regs.rip = blocks[l->site.block].rip + l->site.offset;
		break;
	default: break;
	}
	if (tracing(TRACE_EXITS) && !tr.check)
		trace_exit(v, l->why);
	tr_left();
	return true;
}

/* Where the block of s goes on after C has done something; NULL: it is not there any more. */
static void *block_resume(const struct site *s, uint32_t generation)
{
	return generation == code_generation && !blocks[s->block].dead ? code_run + s->code : NULL;
}

/*
 * The kernel's code read where nothing is: now there is, and it reads again; or there cannot be,
 * and from now on that instruction has a look at the TLB first, whatever it reads.
 */
static void *upper_exit(struct vcpu *v, const struct site *s, uint32_t generation)
{
	if (tr.vector == VECTOR_PF && upper_fault(v, tr.ea))
		return block_resume(s, generation);
	code_soften(v->d, s->block, s->offset, generation);
	step(v);
	return NULL;
}

/*
 * User code reached into its window where nothing is, or not to write: it goes on just there if now
 * something is. Else a step finds out what it is about. So it does if the block is not there any
 * more, for one that has written to its own page.
 */
static void *window_exit(struct vcpu *v, const struct site *s, uint32_t generation)
{
	if (tr.vector != VECTOR_PF)
		window_odd(v);
	else if (window_fault(v, tr.ea, tr.error & PF_WRITE) && block_resume(s, generation))
		return (void *)tr.target;
	step(v);
	return NULL;
}

/* An instruction that is not translated; where the block goes on, if it does. */
static void *step_exit(struct vcpu *v, const struct site *s, uint32_t generation)
{
	if (s->access == SITE_START || !string_run(v, s)) {
		step(v);
		return NULL;
	}
	return block_resume(s, generation);
}

/*
 * May system calls and their returns be cross.S' until the cache is left? What this asks for is
 * changed by this vCPU's own hypercalls, or while it rests; or `descriptor_changes` says so.
 */
static bool crosses(const struct vcpu *v)
{
	return v->callback_flags & VGCF_syscall_disables_events && v->syscall_callback && v->info &&
	       v->user_cr3_mfn && !(v->debugreg[7] & WATCH_ENABLED) && !v->stepping && !tr_stop &&
	       !tr.ran32 && !check_on && !debug_points && !tr.window_due &&
	       !(v->d->vm_assist >> VMASST_TYPE_architectural_iopl & 1);
}

/* From `code` on till the guest's state is all in v->regs and nothing known of how it goes on. */
static void run(struct vcpu *v, void *code)
{
	const unsigned window = tr.now[0]->window;
	uint8_t *resume = NULL;
	struct left l;

	tr.crosses = crosses(v);
	tr.fs_base = v->fs_base;
	tr.gs_base = v->kernel_mode ? v->gs_base_kernel : v->gs_base_user;
	tr.ibtc = tr.context->ibtc;
	tr.returns = tr.context->returns;
	tr.user_gs = window ? window_base(window) : (uint64_t)tr.now[0]->own;
	__builtin_ia32_wrgsbase64(v->kernel_mode       ? UPPER_BASE
				  : tr.code == CODE_64 ? tr.user_gs
						       : (uint64_t)tr.now[0]->own);
	while (code) {
		if (!tr_visit(v, code, resume, &l)) {
			mmu_flush_self(v);
			return;
		}
		code = resume = NULL;
		if (l.why == EXIT_LINK) {
			code = code_follow(v, tr.arg, l.generation);
			tr.single = check_on && l.single && !code;
		} else if (l.why == EXIT_MEMORY && (resume = memory_exit(v, &l.site)))
			code = code_run + l.site.code;
		else if (l.why == EXIT_UPPER)
			code = upper_exit(v, &l.site, l.generation);
		else if (l.why == EXIT_WINDOW)
			code = window_exit(v, &l.site, l.generation);
		else if (l.why == EXIT_SYSCALL)
			tr_syscall(v, v->regs.rip + 2);
		else if (l.why == EXIT_STEP)
			code = step_exit(v, &l.site, l.generation);
		else if (l.why == EXIT_TRAP)
			tr_exception(v, tr.vector, tr.error);
	}
}

/* The guest is in 32-bit code, or it was. False: that is dealt with; else it goes on as usual. */
static bool code_ready(struct vcpu *v, enum code code)
{
	if (code == CODE_BAD) {
		failsafe_deliver(v);
		return false;
	}
	tr.ran32 |= code == CODE_32_FLAT;
	mmu_ibtc_for(tr.context, code == CODE_32_FLAT);
	if (code == CODE_64 || (code == CODE_32_FLAT && !(v->regs.rip >> 32)) || watched(v))
		return true;
	step(v);
	return false;
}

/* One way into the cache and out, or one instruction without it. False: at tr_stop. */
bool tr_turn(struct vcpu *v)
{
	enum code code_is;
	void *code;

	if (tr_stop && v->regs.rip == tr_stop)
		return false;
	if (__atomic_load_n(&tr.flush, __ATOMIC_RELAXED))
		mmu_flush_self(v);
	if (debug_points && watch_stops(v))
		return true;
	code_is = tr_code(v);
	if ((code_is != CODE_64 || tr.ran32) && !code_ready(v, code_is))
		return true;
	if (watched(v)) {
		watch_step(v);
		return true;
	}
	if (tr.window_due && !v->kernel_mode)
		window_before(v); /* first: it may forget code */
	switch (code_find(v, &code)) {
	case FOUND:
		if (!check_on || check_block(v, code))
			run(v, code);
		break;
	case FOUND_STEP: step(v); break;
	default: break;
	}
	return true;
}

/* ---- the provider ---- */

/* What a vCPU owes others before it may run guest code again. */
static void work(struct vcpu *v)
{
	tr.kicked = 0;
	window_sample(v);
	if (tr.cut && code_mend(tr.cut, tr.cut_generation))
		tr.cut = NULL;
	timer_check(v);
	if (vcpu_must_park(v))
		vcpu_park(v);
}

/* The guest starts with the x87 and vector state of a reset. */
static void fpu_clean(void)
{
	static struct fpu_area clean;
	const uint32_t mxcsr = 0x1f80;

	fpu_back(&clean);
	asm volatile("ldmxcsr %0" : : "m"(mxcsr));
}

static _Noreturn void vcpu_run(struct vcpu *v)
{
	tr_signals_init(); /* the direct provider's were there first, perhaps */
	fpu_clean();
	mmu_start();
	tr.kicked = 1;
	for (;;) {
		while (tr.kicked || vcpu_must_park(v))
			work(v);
		if (event_deliverable(v) || nmi_deliverable(v))
			event_deliver(v);
		tr_turn(v);
	}
}

static int domain_init(struct domain *d)
{
	uint32_t a, b, c, r;

	process_id = getpid();
	if (!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE) || !__get_cpuid_count(7, 0, &a, &b, &c, &r) ||
	    !(b & BMI2)) {
		fprintf(stderr, "pvdom: guests need a CPU with FSGSBASE and BMI2 (2013 or later) "
				"and Linux 5.9 or later, which lets programs use them\n");
		return -ENOSYS;
	}
	upper_init();
	windows_init();
	mmu_fences_init();
	return code_init(d);
}

static int vcpu_init(struct vcpu *v)
{
	int rc = v->d->provider == &provider_translate ? signals_thread_init(v) : 0;

	if (!rc)
		rc = mmu_init(v);
	return rc ? rc : tr_step_init();
}

static void kick(struct vcpu *v)
{
	syscall(SYS_tgkill, process_id, v->tid, SIGUSR1);
}

/* The bases are v's own: run() gives them to the translated code. */
static void load_segments(struct vcpu *v)
{
}

static void toggle(struct vcpu *v)
{
	tr.context = tr.now[!v->kernel_mode];
	tr_code_mode();
}

/* d->lock held. */
static void points(struct domain *d, uint64_t va, uint64_t n)
{
	code_forget_at(d, va);
	mmu_forget_page(d, va);
	mmu_forget_page(d, va + n - 1);
	upper_forget(d);
	mmu_flush(d, ALL_VCPUS, FLUSH_ALL); /* windows know no watched pages: they are left */
}

static void written(struct domain *d, uint64_t mfn)
{
	code_written(d, frame_ptr(d, mfn));
}

/* CR0.TS is in a block's key. */
static void load_tables(struct vcpu *v)
{
	struct tr *t = v->provider;

	tr_descriptors_changed(v->d);
	if (t && (t->now[0]->ts != v->fpu_ts || t->now[1]->ts != v->fpu_ts))
		__atomic_store_n(&t->flush, 1, __ATOMIC_SEQ_CST);
}

static void table_lost(struct domain *d, uint64_t mfn)
{
	windows_table_lost(d, mfn);
	upper_table_lost(d, mfn);
}

static void frame_moves(struct domain *d, uint64_t mfn)
{
	spans_hide_frame(d, mfn, false);
}

static const char *tier(void)
{
	if (upper_possible())
		return windows_possible()
			       ? "process (translated: segment base, masked windows, soft TLB)"
			       : "process (translated: segment base, soft TLB)";
	return windows_possible() ? "process (translated: masked windows, soft TLB)"
				  : "process (translated: soft TLB)";
}

const struct provider provider_translate = {
	.name = "process (translated)",
	.tier = tier,
	.plain_cpu = true,
	.domain_init = domain_init,
	.memory_ready = mmu_memory,
	.vcpu_init = vcpu_init,
	.vcpu_run = vcpu_run,
	.kick = kick,
	.root_changed = mmu_root_changed,
	.written = written,
	.entry_changed = mmu_entry_changed,
	.table_lost = table_lost,
	.frame_moves = frame_moves,
	.flush = mmu_flush,
	.load_segments = load_segments,
	.toggle = toggle,
	.load_tables = load_tables,
	.descriptor_changed = tr_descriptors_changed,
	.fill_hypercall_page = syscall_page,
	.points = points,
	.vectors = true,
	.parks = check_parks,
	.check = check_set,
};
