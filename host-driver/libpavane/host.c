/* SPDX-License-Identifier: MIT */
/*
 * The other half of a thread inside: an ordinary thread that waits in PVHOST_RUN and does what
 * the inside cannot. System calls are made here by the ordinary instruction, so seccomp, ptrace
 * and audit see them as any other.
 *
 * It shares FS with the inside, but must not rely on more of libc than raw system calls: it may
 * run in the middle of anything.
 */
#include <asm/prctl.h>
#include <cpuid.h>
#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host-driver/libpavane/internal.h"

#define VECTOR_UD 6
#define VECTOR_GP 13
#define VECTOR_PF 14

static void die(int sig, const char *what, unsigned long value)
{
	char line[96];
	const int n = snprintf(line, sizeof(line), "libpavane: %s (%lx)\n", what, value);

	if (what)
		pv_raw(SYS_write, 2, (long)line, n, 0, 0, 0);
	signal(sig, SIG_DFL);
	raise(sig);
	abort();
}

static void inject_fault(struct thread *t, unsigned vector, int error)
{
	t->run->inject = PVHOST_VALID | 3 << 8 | vector | (error >= 0 ? 1 << 11 : 0);
	t->run->inject_error = error >= 0 ? error : 0;
}

/* Not a child on a stack of its own: it goes on in our copy of everything, or while we wait. */
static long clone_plain(struct thread *t, const struct pvhost_run *run)
{
	struct pvhost_run copy = *run; /* the child has no such page */
	long ret;

	ret = pv_raw(run->rax, run->rdi, run->rsi, run->rdx, run->r10, run->r8, run->r9);
	if (ret)
		return ret;
	copy.rax = 0;
	copy.rip = copy.rcx;
	copy.rflags = copy.r11;
	pv_become(&copy);
}

static long clone_call(struct thread *t, struct pvhost_run *run)
{
	const struct clone_args *args = (void *)run->rdi;
	uint64_t stack = 0;

	if (run->rax == SYS_clone)
		stack = run->rsi;
	else if (run->rax == SYS_clone3 && args->stack)
		stack = args->stack + args->stack_size;
	return stack ? pv_clone_call(run->rax, run, (void *)stack) : clone_plain(t, run);
}

static long set_fs(struct thread *t, uint64_t base)
{
	struct pvhost_state s;
	const long ret = pv_raw(SYS_arch_prctl, ARCH_SET_FS, base, 0, 0, 0, 0);

	if (ret)
		return ret;
	t->fs = base;
	pv_raw(SYS_ioctl, t->vcpu, PVHOST_GET_STATE, (long)&s, 0, 0, 0);
	s.fs_base = base;
	return pv_raw(SYS_ioctl, t->vcpu, PVHOST_SET_STATE, (long)&s, 0, 0, 0);
}

static void leave(struct thread *t, const struct pvhost_run *run)
{
	struct pvhost_run copy = *run;

	copy.rip = run->rcx;
	copy.rflags = run->r11;
	pv_become(&copy);
}

static long system_call(struct thread *t)
{
	struct pvhost_run *run = t->run;

	switch (run->rax) {
	case SYS_clone:
	case SYS_clone3:
	case SYS_fork:
	case SYS_vfork: return clone_call(t, run);
	case SYS_arch_prctl:
		if (run->rdi == ARCH_SET_FS)
			return set_fs(t, run->rsi);
		break;
	case CALL_LEAVE: leave(t, run); break;
	case CALL_DIE: die(run->rdi, NULL, 0); break;
	}
	return pv_raw(run->rax, run->rdi, run->rsi, run->rdx, run->r10, run->r8, run->r9);
}

static void on_vmcall(struct thread *t)
{
	struct pvhost_run *run = t->run;

	if (run->rip != (uint64_t)pv_syscall_exit || run->cs & 3) {
		inject_fault(t, VECTOR_UD, -1);
		return;
	}
	run->rax = system_call(t);
	run->rip = run->rcx;
	run->rflags = run->r11;
}

/* Memory that the host would not give: to the inside it is a page fault like any other. */
static void on_ept_violation(struct thread *t)
{
	struct pvhost_run *run = t->run;
	const bool write = run->qualification & 2, fetch = run->qualification & 4;

	/* Bits 7 and 8: a linear address was translated, and the access was to its page. */
	if ((run->qualification & 0x180) != 0x180 || run->vectoring & PVHOST_VALID)
		die(SIGSEGV, "the process has no memory for a page table or an exception's stack",
		    run->linear);
	run->cr2 = run->linear;
	inject_fault(t, VECTOR_PF, write << 1 | (run->cs & 3 ? 4 : 0) | fetch << 4 | PV_FAULT_HOST);
}

static void handle_exit(struct thread *t)
{
	struct pvhost_run *run = t->run;
	unsigned a, b, c, d;

	switch (run->exit_reason) {
	case PVHOST_EXIT_VMCALL: on_vmcall(t); break;
	case PVHOST_EXIT_EPT_VIOLATION: on_ept_violation(t); break;
	case PVHOST_EXIT_IRQ_WINDOW: break;
	case PVHOST_EXIT_CPUID:
		__cpuid_count(run->rax, run->rcx, a, b, c, d);
		run->rax = a;
		run->rbx = b;
		run->rcx = c;
		run->rdx = d;
		run->rip += run->instruction_length;
		break;
	case PVHOST_EXIT_HLT:
		run->rip += run->instruction_length;
		run->shadow = 0;
		signal_wait(t);
		break;
	case PVHOST_EXIT_CR:
	case PVHOST_EXIT_IO:
	case PVHOST_EXIT_RDMSR:
	case PVHOST_EXIT_WRMSR:
	case 13: /* invd */
	case 15: /* rdpmc */
	case 54: /* wbinvd */
	case 55: /* xsetbv */ inject_fault(t, VECTOR_GP, 0); break;
	case 19 ... 27: /* VMX instructions */
	case 36:	/* mwait */
	case 39:	/* monitor */
	case 50:	/* invept */
	case 53: /* invvpid */ inject_fault(t, VECTOR_UD, -1); break;
	case PVHOST_EXIT_TRIPLE_FAULT: die(SIGSEGV, "triple fault at", run->rip); break;
	default:
		die(SIGABRT, run->exit_reason >> 31 ? "the CPU refuses this state" : "exit reason",
		    run->exit_reason & 0x7fffffff);
	}
}

void pv_outside(struct thread *t)
{
	long ret;

	for (;;) {
		signal_inject(t);
		ret = pv_raw(SYS_ioctl, t->vcpu, PVHOST_RUN, 0, 0, 0, 0);
		if (!ret)
			handle_exit(t);
		else if (ret != -EINTR)
			die(SIGABRT, "PVHOST_RUN fails", -ret);
	}
}
