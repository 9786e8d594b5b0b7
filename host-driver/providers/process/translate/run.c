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
#include "host-driver/providers/process/translate/trace.h"
#include "host-driver/providers/syscall_page.h"

#define BMI2	  (1U << 8) /* CPUID 7, ebx */
#define VECTOR_PF 14

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
_Static_assert(offsetof(struct tr_context, own) == 0, "GS is there");
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

/* The instruction at rip wants `s` at tr.ea: its place, or NULL and that is dealt with. */
static uint8_t *memory_exit(struct vcpu *v, const struct site *s)
{
	uint8_t *p;

	if ((tr.ea & (PAGE_SIZE - 1)) + s->size > PAGE_SIZE) {
		tr_step(v);
		return NULL;
	}
	p = tr_memory(v, tr.ea, s->access);
	/* A store to its own page ends a block; and tr_step knows #SS from #GP. */
	if (p ? blocks[s->block].dead : !tr_canonical(tr.ea)) {
		tr_step(v);
		return NULL;
	}
	if (!p)
		tr_page_fault(v, tr.ea, s->access);
	return p;
}

bool tr_visit(struct vcpu *v, void *code, const uint8_t *resume, struct left *l)
{
	tr.target = (uint64_t)code;
	tr.resume = (uint64_t)resume;
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
	tr_step(v);
	return NULL;
}

/* An instruction that is not translated; where the block goes on, if it does. */
static void *step_exit(struct vcpu *v, const struct site *s, uint32_t generation)
{
	if (s->access == SITE_START || !string_run(v, s)) {
		tr_step(v);
		return NULL;
	}
	return block_resume(s, generation);
}

/* From `code` on till the guest's state is all in v->regs and nothing known of how it goes on. */
static void run(struct vcpu *v, void *code)
{
	uint8_t *resume = NULL;
	struct left l;

	tr.fs_base = v->fs_base;
	tr.gs_base = v->kernel_mode ? v->gs_base_kernel : v->gs_base_user;
	tr.ibtc = tr.context->ibtc;
	tr.returns = tr.context->returns;
	__builtin_ia32_wrgsbase64(v->kernel_mode ? UPPER_BASE : (uint64_t)tr.context->own);
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
	tr_step(v);
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
	code_is = tr_code(v);
	if ((code_is != CODE_64 || tr.ran32) && !code_ready(v, code_is))
		return true;
	if (watched(v)) {
		watch_step(v);
		return true;
	}
	switch (code_find(v, &code)) {
	case FOUND:
		if (!check_on || check_block(v, code))
			run(v, code);
		break;
	case FOUND_STEP: tr_step(v); break;
	default: break;
	}
	return true;
}

/* ---- the provider ---- */

/* What a vCPU owes others before it may run guest code again. */
static void work(struct vcpu *v)
{
	tr.kicked = 0;
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

static const char *tier(void)
{
	return upper_possible() ? "process (translated: segment base, soft TLB)"
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
	.table_lost = upper_table_lost,
	.frame_moves = upper_frame_moves,
	.flush = mmu_flush,
	.load_segments = load_segments,
	.toggle = toggle,
	.load_tables = load_tables,
	.descriptor_changed = tr_descriptors_changed,
	.fill_hypercall_page = syscall_page,
	.parks = check_parks,
	.check = check_set,
};
