/* SPDX-License-Identifier: MIT */
/*
 * The translator as a provider of one vCPU would use it, without its loop: there is no other vCPU,
 * no event, and the memory changes behind its back between two cases.
 */
#include "host-driver/providers/process/translate/block.h"
#include "tests/translate/filter.h"

#define CR4_FSGSBASE 0x10000UL
#define CR4_OSXSAVE  0x40000UL

extern const struct provider provider_translate;

int guest_engine_init(struct vcpu *v)
{
	int rc;

	v->d->provider = &provider_translate;
	v->cr4 = CR4_FSGSBASE | CR4_OSXSAVE;
	rc = provider_translate.domain_init(v->d);
	if (!rc)
		rc = mmu_init(v);
	if (!rc)
		rc = tr_step_init();
	if (!rc)
		mmu_flush_self(v);
	return rc;
}

void guest_engine_written(struct vcpu *v, const uint8_t *page)
{
	code_written(v->d, page);
}

void guest_engine_flush(struct vcpu *v)
{
	mmu_forget_all_code(v->d);
	mmu_flush_self(v);
}

void guest_engine_stop(uint64_t rip)
{
	tr_stop = rip;
}

void guest_engine_turn(struct vcpu *v)
{
	tr.kicked = 0;
	if (tr.cut) {
		block_mend(tr.cut);
		tr.cut = NULL;
	}
	tr_turn(v);
}

void guest_engine_signal(int sig, void *info, void *ctx)
{
	tr_signal(sig, info, ctx);
}
