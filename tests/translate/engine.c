/* SPDX-License-Identifier: MIT */
/*
 * The translator as a provider of one vCPU would use it, without its loop: there is no other vCPU,
 * no event, and the memory changes behind its back between two cases.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "host-driver/providers/process/translate/block.h"
#include "host-driver/providers/process/translate/windows.h"
#include "tests/translate/filter.h"

#define PUSH_RAX 0x50
#define POPFQ	 0x9d
#define INT3	 0xcc

extern const struct provider provider_translate;

int guest_engine_init(struct domain *d)
{
	d->provider = &provider_translate;
	return provider_translate.domain_init(d);
}

int guest_engine_thread_init(struct vcpu *v)
{
	int rc = mmu_init(v);

	v->cr4 = CR4_FSGSBASE | CR4_OSXSAVE;
	if (!rc)
		rc = tr_step_init();
	if (rc)
		return rc;
	mmu_start();
	mmu_flush_self(v);
	return 0;
}

void guest_engine_written(struct vcpu *v, const uint8_t *page)
{
	code_written(v->d, page);
}

void guest_engine_forget(struct vcpu *v)
{
	pthread_mutex_lock(&v->d->lock);
	mmu_forget_all_code(v->d);
	pthread_mutex_unlock(&v->d->lock);
}

void guest_engine_flush(struct vcpu *v)
{
	if (tr.flush)
		mmu_flush_self(v);
}

void guest_engine_mode(struct vcpu *v)
{
	tr.context = tr.now[v->kernel_mode];
}

void guest_engine_stop(uint64_t rip)
{
	tr_stop = rip;
}

void guest_engine_turn(struct vcpu *v)
{
	tr.kicked = 0;
	if (tr.cut && code_mend(tr.cut, tr.cut_generation))
		tr.cut = NULL;
	tr_turn(v);
}

/*
 * Single steps of translated code. tr_run loads the guest's flags by its one popfq, which is made
 * a breakpoint: there the trap flag is loaded as well, and the steps end outside.
 */
static uint8_t *popfq_at;
static unsigned kick_in;
static bool kicked;

static void find_popfq(void)
{
	uint8_t *p = (uint8_t *)tr_resume;

	while (p[0] != PUSH_RAX || p[1] != POPFQ)
		if (++p >= (uint8_t *)tr_resume_end)
			abort();
	popfq_at = p + 1;
	if (mprotect((void *)((uintptr_t)p & PAGE_MASK), 2 * PAGE_SIZE,
		     PROT_READ | PROT_WRITE | PROT_EXEC))
		abort();
}

bool guest_windowed(void)
{
	return tr.now[0]->window;
}

void guest_unmask(void)
{
	tr.window_mask = tr.window_bits = ~0UL;
}

uint64_t guest_window(void)
{
	return guest_windowed() ? window_base(tr.now[0]->window) : 0;
}

bool guest_engine_lower(struct vcpu *v, const uint8_t **code, size_t *size)
{
	const struct block *b;
	void *at;

	tr_code(v);
	if (code_find(v, &at) != FOUND)
		return false;
	b = code_block(at);
	*code = code_write + b->code;
	*size = b->size;
	return true;
}

int32_t emit_slot(int offset); /* emit.h, whose names are others here */

unsigned guest_slot(unsigned slot)
{
	return emit_slot(slot);
}

uint32_t guest_emptied(void)
{
	return code_generation;
}

bool guest_engine_kick(unsigned n)
{
	const bool was = kicked;

	if (!popfq_at)
		find_popfq();
	kick_in = n;
	kicked = false;
	*popfq_at = n ? INT3 : POPFQ;
	return was;
}

static bool in_translated(const void *rip)
{
	return code_block(rip) || (rip >= (void *)tr_resume && rip < (void *)tr_resume_end) ||
	       (rip >= (void *)tr_exit_link && rip < (void *)tr_indirect_end);
}

/* True: the trap was one of these. */
static bool single_step(siginfo_t *info, ucontext_t *ctx)
{
	greg_t *g = ctx->uc_mcontext.gregs;

	if ((uint8_t *)g[REG_RIP] == popfq_at + 1 && *popfq_at == INT3) {
		g[REG_EFL] = *(uint64_t *)g[REG_RSP] | (kick_in ? FLAG_TF : 0);
		g[REG_RSP] += 8;
		return true;
	}
	if (info->si_code != TRAP_TRACE)
		return false;
	if (kick_in && in_translated((void *)g[REG_RIP])) {
		if (--kick_in)
			return true;
		kicked = true;
		tr_signal(SIGUSR1, info, ctx);
	}
	g[REG_EFL] &= ~FLAG_TF;
	return true;
}

void guest_engine_signal(int sig, void *info, void *ctx)
{
	if (sig != SIGTRAP || !single_step(info, ctx))
		tr_signal(sig, info, ctx);
}
