/* SPDX-License-Identifier: MIT */
/* The direct provider's side of provider.h: hypercall page, kicks, what happens at an exit. */
#include <asm/hwcap2.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "host-driver/providers/process/direct.h"

#define ASSERT_REG(sym, member) \
	_Static_assert(offsetof(struct vcpu, regs.member) == sym, "entry.S: " #member)
ASSERT_REG(R_R15, r15);
ASSERT_REG(R_RBX, rbx);
ASSERT_REG(R_R8, r8);
ASSERT_REG(R_RAX, rax);
ASSERT_REG(R_RCX, rcx);
ASSERT_REG(R_RDI, rdi);
ASSERT_REG(R_RIP, rip);
ASSERT_REG(R_RFLAGS, rflags);
ASSERT_REG(R_RSP, rsp);
_Static_assert(offsetof(ucontext_t, uc_stack.ss_sp) == UC_STACK_SP, "entry.S: uc_stack");

__thread void *direct_stack;
__thread uint64_t direct_scratch;
__thread volatile uint8_t direct_kicked;

volatile uint8_t direct_fs_owned;
void *volatile direct_gate_to = direct_entry, *volatile direct_gate_iret_to = direct_entry_iret;

static pid_t process_id; /* getpid() is not in the sandbox's list */

/*
 * FS cannot find the vCPU any longer: from now on every entry and exit is a signal, whose stack
 * does. Never undone, as the domain's other vCPUs would have to be asked. The gates first: another
 * vCPU that sees direct_fs_owned leaves with the guest's FS.
 */
void direct_fs_give_up(void)
{
	direct_gate_to = direct_trap;
	direct_gate_iret_to = direct_trap_iret;
	direct_fs_owned = 1;
}

static void save_segments(struct vcpu *v)
{
	v->gs_base_kernel = __builtin_ia32_rdgsbase64();
}

/* FS itself is loaded on the way out of the signal that every entry to the guest then is. */
static void load_segments(struct vcpu *v)
{
	asm volatile("wrgsbase %0" : : "r"(v->gs_base_kernel));
	if (v->fs_base)
		direct_fs_give_up();
}

/* What a vCPU owes others before it may run guest code again. */
struct vcpu *direct_work(struct vcpu *v)
{
	direct_kicked = 0;
	timer_check(v);
	if (vcpu_must_park(v)) {
		save_segments(v); /* the toolstack may look */
		vcpu_park(v);
		load_segments(v); /* it may have come back with another context */
	}
	event_deliver(v);
	return v;
}

struct vcpu *direct_hypercall(struct vcpu *v, uint64_t nr)
{
	regs_t *r = &v->regs;
	long ret;

	r->cs = SEL_KERNEL_CS;
	r->ss = SEL_KERNEL_SS;
	ret = hypercall(v, nr, r->rdi, r->rsi, r->rdx, r->r10, r->r8);
	if (nr != __HYPERVISOR_iret)
		r->rax = ret;
	if (event_deliverable(v) || nmi_deliverable(v))
		event_deliver(v);
	return __builtin_expect(vcpu_must_park(v), 0) ? direct_work(v) : v;
}

/*
 * A stub is 32 bytes, as on Xen: `mov $nr, %eax; jmp *0(%rip)` and the gate's address. The guest's
 * call pushed the address to come back to. iret is jumped to and pushes what Xen's stub pushes
 * before it.
 */
static void fill_hypercall_page(struct domain *d, uint8_t *page)
{
	memset(page, 0xcc, PAGE_SIZE);
	for (uint32_t nr = 0; nr < PAGE_SIZE / 32; nr++) {
		static const uint8_t push[] = {0x51, 0x41, 0x53, 0x50}; /* rcx, r11, rax */
		static const uint8_t jmp[] = {0xff, 0x25, 0, 0, 0, 0};
		const void *gate = direct_gate;
		uint8_t *p = page + nr * 32;

		if (nr == __HYPERVISOR_iret) {
			gate = direct_gate_iret;
			memcpy(p, push, sizeof(push));
			p += sizeof(push);
		}
		*p++ = 0xb8;
		memcpy(p, &nr, 4);
		memcpy(p + 4, jmp, sizeof(jmp));
		memcpy(p + 4 + sizeof(jmp), &gate, sizeof(gate));
	}
}

static int domain_init(struct domain *d)
{
	process_id = getpid();
	if (!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE)) {
		fprintf(stderr, "pvdom: guests need a CPU with FSGSBASE (2012 or later) and Linux "
				"5.9 or later, which lets programs use it\n");
		return -ENOSYS;
	}
	return signals_init();
}

static int vcpu_init(struct vcpu *v)
{
	/*
	 * `syscall` below GUEST_HI is the guest's: SIGSYS. Kernels before 5.11 and some
	 * sandboxes have no such thing: then only the hypercall page works, and the seccomp
	 * filter answers the rest.
	 */
	prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, GUEST_HI, (1UL << 47) - GUEST_HI,
	      NULL);
	return signals_thread_init(v);
}

static _Noreturn void vcpu_run(struct vcpu *v)
{
	load_segments(v);
	direct_kicked = 1; /* look at everything once before the first instruction */
	direct_start(v);
}

static void root_changed(struct vcpu *v)
{
	mirror_forget(v->d, FLUSH_ALL);
}

static void kick(struct vcpu *v)
{
	syscall(SYS_tgkill, process_id, v->tid, SIGUSR1);
}

const struct provider provider_process = {
	.name = "process (direct)",
	.one_root = true,
	.domain_init = domain_init,
	.vcpu_init = vcpu_init,
	.vcpu_run = vcpu_run,
	.kick = kick,
	.root_changed = root_changed,
	.invalidate = mirror_forget,
	.load_segments = load_segments,
	.save_segments = save_segments,
	.fill_hypercall_page = fill_hypercall_page,
};
