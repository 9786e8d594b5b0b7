/* SPDX-License-Identifier: MIT */
/* Exceptions: the trap table, handlers, and a way to survive an expected one. */
#include <pv/arch.h>
#include <pv/lib.h>

extern char trap_divide_error[], trap_debug[], trap_nmi[], trap_breakpoint[], trap_overflow[],
	trap_bounds[], trap_invalid_opcode[], trap_no_device[], trap_double_fault[],
	trap_invalid_tss[], trap_no_segment[], trap_stack_error[], trap_general_protection[],
	trap_page_fault[], trap_fpu_error[], trap_alignment_check[], trap_machine_check[],
	trap_simd_error[], trap_soft_0x81[], event_callback[], failsafe_callback[],
	syscall_callback[];

extern struct trap_regs *trap_catch_regs;
extern uint64_t trap_catch_sp;
extern char trap_catch_resume[];

/*
 * Events stay masked in every handler: cr2 lies in memory shared by all page faults, and a handler
 * that is preempted before reading it would read another thread's.
 */
#define MASK 4
#define GATE(v, dpl, entry)                                                 \
	{                                                                   \
		.vector = (v), .flags = (dpl) | MASK, .cs = FLAT_KERNEL_CS, \
		.address = (unsigned long)(entry)                           \
	}

static struct trap_info trap_table[] = {
	GATE(0, 0, trap_divide_error),
	GATE(1, 0, trap_debug),
	GATE(2, 0, trap_nmi),
	GATE(3, 3, trap_breakpoint),
	GATE(4, 3, trap_overflow),
	GATE(5, 0, trap_bounds),
	GATE(6, 0, trap_invalid_opcode),
	GATE(7, 0, trap_no_device),
	GATE(8, 0, trap_double_fault),
	GATE(10, 0, trap_invalid_tss),
	GATE(11, 0, trap_no_segment),
	GATE(12, 0, trap_stack_error),
	GATE(13, 0, trap_general_protection),
	GATE(14, 0, trap_page_fault),
	GATE(16, 0, trap_fpu_error),
	GATE(17, 0, trap_alignment_check),
	GATE(18, 0, trap_machine_check),
	GATE(19, 0, trap_simd_error),
	GATE(0x81, 3, trap_soft_0x81),
	{0},
};

static trap_handler_t handlers[256];
void (*trap_from_user)(struct trap_regs *regs);
void (*syscall_from_user)(struct trap_regs *regs);

trap_handler_t trap_set_handler(unsigned int vector, trap_handler_t handler)
{
	trap_handler_t old = handlers[vector & 0xff];

	handlers[vector & 0xff] = handler;
	return old;
}

long trap_set_entry(uint8_t vector, uint8_t flags, unsigned long entry)
{
	struct trap_info one[2] = {
		{.vector = vector, .flags = flags, .cs = FLAT_KERNEL_CS, .address = entry},
	};

	for (unsigned int i = 0; !entry && i < ARRAY_SIZE(trap_table); i++)
		if (trap_table[i].address && trap_table[i].vector == vector)
			one[0] = trap_table[i];
	return HYPERVISOR_set_trap_table(one);
}

static void register_callback(uint16_t type, unsigned long address)
{
	struct callback_register reg = {.type = type, .address = address};
	long rc = HYPERVISOR_callback_op(CALLBACKOP_register, &reg);

	if (rc)
		panic("callback %d: %ld", type, rc);
}

void trap_init(void)
{
	long rc = HYPERVISOR_set_trap_table(trap_table);

	if (rc)
		panic("set_trap_table: %ld", rc);
	register_callback(CALLBACKTYPE_event, (unsigned long)event_callback);
	register_callback(CALLBACKTYPE_failsafe, (unsigned long)failsafe_callback);
}

void trap_init_syscall(void)
{
	register_callback(CALLBACKTYPE_syscall, (unsigned long)syscall_callback);
}

static void dump(const struct trap_regs *r)
{
	printf("trap %ld error %lx at rip %016lx cs %lx rflags %lx\n", (long)r->vector, r->error,
	       r->rip, r->cs, r->rflags);
	printf("rsp %016lx ss %lx cr2 %016lx\n", r->rsp, r->ss, this_vcpu->arch.cr2);
	printf("rax %016lx rbx %016lx rcx %016lx\n", r->rax, r->rbx, r->rcx);
	printf("rdx %016lx rsi %016lx rdi %016lx\n", r->rdx, r->rsi, r->rdi);
	printf("rbp %016lx r8  %016lx r9  %016lx\n", r->rbp, r->r8, r->r9);
	printf("r10 %016lx r11 %016lx r12 %016lx\n", r->r10, r->r11, r->r12);
	printf("r13 %016lx r14 %016lx r15 %016lx\n", r->r13, r->r14, r->r15);
}

void trap_dispatch(struct trap_regs *regs);
void trap_dispatch(struct trap_regs *regs)
{
	trap_handler_t handler = handlers[regs->vector & 0xff];

	if (from_user(regs) && trap_from_user) {
		trap_from_user(regs);
		return;
	}
	if (handler && handler(regs))
		return;
	if (trap_catch_regs) {
		*trap_catch_regs = *regs;
		regs->rip = (unsigned long)trap_catch_resume;
		regs->rsp = trap_catch_sp;
		return;
	}
	dump(regs);
	panic("unexpected trap");
}
