/* SPDX-License-Identifier: MIT */
#include "user.h"

#define STACK_SIZE 8192

uint64_t *user_root;

static char entry_stack[STACK_SIZE] __attribute__((aligned(16)));
static char stack[STACK_SIZE] __attribute__((aligned(16)));

extern uint64_t trap_catch_sp;
extern char trap_catch_resume[], user_return[];

__asm__(".globl user_return\nuser_return: movl $0x726574, %eax\n"
	"	syscall\n"
	"	ud2");

/* Out of user mode for good: the kernel goes on where user_run() waits. */
void user_back(struct trap_regs *regs)
{
	extern struct trap_regs *trap_catch_regs;

	*trap_catch_regs = *regs;
	regs->rip = (unsigned long)trap_catch_resume;
	regs->rsp = trap_catch_sp;
	regs->cs = FLAT_KERNEL_CS & ~3ul;
	regs->ss = FLAT_KERNEL_SS;
	regs->rflags = 0;
}

bool user_try(void)
{
	long rc;

	user_root = page_alloc();
	user_root[0] = *(uint64_t *)start_info->pt_base;
	page_set_ro(user_root, true);
	rc = mmuext(MMUEXT_NEW_USER_BASEPTR, va_to_mfn(user_root));
	if (rc == -XEN_EOPNOTSUPP)
		return false;
	check_eq("a user root", rc, 0);
	trap_from_user = syscall_from_user = user_back;
	trap_init_syscall();
	HYPERVISOR_stack_switch(FLAT_KERNEL_SS, (unsigned long)entry_stack + STACK_SIZE);
	return true;
}

void user_init(void)
{
	if (!user_try())
		skip("there is no user mode");
}

/* The frame lies at the entry stack's end, where the next entry finds it used up. */
static void enter(void *frame)
{
	trap_return(frame);
}

void user_run_flags(void (*fn)(void *), void *arg, uint64_t rflags, struct trap_regs *regs)
{
	struct trap_regs *frame = (void *)(entry_stack + STACK_SIZE - sizeof(*frame));
	uint64_t *top = (uint64_t *)(stack + STACK_SIZE - 8);

	*top = (uint64_t)user_return;
	*frame = (struct trap_regs){
		.rip = (uint64_t)fn,
		.rdi = (uint64_t)arg,
		.rsp = (uint64_t)top,
		.cs = FLAT_USER_CS,
		.ss = FLAT_USER_SS,
		.rflags = rflags,
	};
	trap_catch(enter, frame, regs);
}

void user_run(void (*fn)(void *), void *arg, struct trap_regs *regs)
{
	user_run_flags(fn, arg, 0, regs);
}
