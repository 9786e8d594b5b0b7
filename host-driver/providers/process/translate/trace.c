/* SPDX-License-Identifier: MIT */
/* The translator's lines of a trace: blocks as they are made, and why the cache is left. */
#include "host-driver/providers/process/translate/trace.h"

#include "host-driver/providers/process/translate/insn.h"

/* Names without do_, by number: public xen.h, __HYPERVISOR_*. */
static const char *const hypercall_names[NR_HYPERCALLS] = {
#define NAME(call) [__HYPERVISOR_##call] = #call
	NAME(set_trap_table),
	NAME(mmu_update),
	NAME(set_gdt),
	NAME(stack_switch),
	NAME(set_callbacks),
	NAME(fpu_taskswitch),
	NAME(sched_op_compat),
	NAME(platform_op),
	NAME(set_debugreg),
	NAME(get_debugreg),
	NAME(update_descriptor),
	NAME(memory_op),
	NAME(multicall),
	NAME(update_va_mapping),
	NAME(set_timer_op),
	NAME(event_channel_op_compat),
	NAME(xen_version),
	NAME(console_io),
	NAME(physdev_op_compat),
	NAME(grant_table_op),
	NAME(vm_assist),
	NAME(update_va_mapping_otherdomain),
	NAME(iret),
	NAME(vcpu_op),
	NAME(set_segment_base),
	NAME(mmuext_op),
	NAME(nmi_op),
	NAME(sched_op),
	NAME(callback_op),
	NAME(event_channel_op),
	NAME(physdev_op),
	NAME(sysctl),
	NAME(domctl),
#undef NAME
};

void trace_block(const struct vcpu *v, const struct block *b, uint32_t cold)
{
	trace_line(v, "block %lx %s%s %lu %lu %lu", b->rip,
		   b->mode & MODE_KERNEL ? "kernel" : "user", b->mode & MODE_32 ? "32" : "",
		   (uint64_t)b->bytes, (uint64_t)b->insns, (uint64_t)b->size + cold);
}

/* Zydis, unlike all around it, may use vector registers. */
static const char *mnemonic(struct vcpu *v)
{
	const uint64_t rip = v->regs.rip;
	const char *name = "?";
	struct fpu_area fpu;
	struct tr_insn n;
	uint8_t bytes[INSN_MAX];
	unsigned room = 0;

	while (room < INSN_MAX && !copy_from_guest(v, bytes + room, rip + room, 1))
		room++;
	fpu_keep(&fpu);
	if (insn_read(&n, rip, bytes, room, tr.code != CODE_64))
		name = ZydisMnemonicGetString(n.i.mnemonic);
	fpu_back(&fpu);
	return name;
}

static void trace_syscall(struct vcpu *v)
{
	const uint64_t nr = v->regs.rax;
	const char *name = nr < NR_HYPERCALLS ? hypercall_names[nr] : NULL;

	if (v->kernel_mode && name)
		trace_line(v, "exit hypercall %lx %s", v->regs.rip, name);
	else
		trace_line(v, "exit %s %lx %lu", v->kernel_mode ? "hypercall" : "syscall",
			   v->regs.rip, nr);
}

static void trace_memory(const struct vcpu *v)
{
	const struct site *s = &sites[tr.arg];

	trace_line(v, "exit memory %lx %lx %s %lu", v->regs.rip, tr.ea,
		   s->access == ACCESS_WRITE ? "write" : "read", (uint64_t)s->size);
}

void trace_exit(struct vcpu *v, int why)
{
	const uint64_t rip = v->regs.rip;

	switch (why) {
	case EXIT_LINK:
		trace_line(v, "exit link %lx %lx", blocks[links[tr.arg].from].rip, rip);
		break;
	case EXIT_INDIRECT: trace_line(v, "exit indirect - %lx", rip); break;
	case EXIT_MEMORY: trace_memory(v); break;
	case EXIT_UPPER: trace_line(v, "exit upper %lx %lx", rip, tr.ea); break;
	case EXIT_WINDOW:
		trace_line(v, "exit window %lx %lx %s", rip, tr.ea - tr.user_gs,
			   tr.error & PF_WRITE ? "write" : "read");
		break;
	case EXIT_STEP: trace_line(v, "exit step %lx %s", rip, mnemonic(v)); break;
	case EXIT_SYSCALL: trace_syscall(v); break;
	case EXIT_TRAP:
		trace_line(v, "exit trap %lx %lu %lx", rip, (uint64_t)tr.vector, tr.error);
		break;
	default: trace_line(v, "exit kick %lx", rip); break;
	}
}
