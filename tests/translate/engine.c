/* SPDX-License-Identifier: MIT */
/* The translator's own names, as far as the tests need them. General registers only. */
#include "host-driver/providers/process/translate/translate.h"
#include "tests/translate/filter.h"

__attribute__((weak)) __thread struct tr tr;

void guest_engine_init(struct vcpu *v)
{
}

void guest_engine_begin(struct vcpu *v)
{
	tr.fs_base = v->fs_base;
	tr.gs_base = v->gs_base_kernel;
}

void guest_engine_end(struct vcpu *v)
{
	v->fs_base = tr.fs_base;
	v->gs_base_kernel = tr.gs_base;
}

void guest_engine_stop(uint64_t rip)
{
}

void guest_engine_turn(struct vcpu *v)
{
	tr_step(v);
}

bool guest_engine_fault(unsigned vector, uint64_t error, uint64_t cr2, void *ctx)
{
	return tr_step_fault(vector, error, cr2, ctx);
}
