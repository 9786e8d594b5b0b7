/* SPDX-License-Identifier: MIT */
/* The direct provider's side of provider.h: hypercall page, kicks, what happens at an exit. */
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
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

__thread void *direct_entry_ptr, *direct_iret_ptr, *direct_stack;
__thread uint64_t direct_scratch;
__thread volatile uint8_t direct_kicked;

static pid_t process_id; /* getpid() is not in the sandbox's list */

/* What a vCPU owes others before it may run guest code again. */
struct vcpu *direct_work(struct vcpu *v)
{
	direct_kicked = 0;
	timer_check(v);
	if (vcpu_must_park(v))
		vcpu_park(v);
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
	if (event_deliverable(v))
		event_deliver(v);
	return __builtin_expect(vcpu_must_park(v), 0) ? direct_work(v) : v;
}

/*
 * A stub is 32 bytes, as on Xen. `mov $nr, %eax; jmp *%fs:(entry)`: the guest's call pushed the
 * address to come back to. iret is jumped to and pushes what Xen's stub pushes before it.
 */
static void fill_hypercall_page(struct domain *d, uint8_t *page)
{
	uint64_t fs;
	int32_t entry, iret;

	asm("mov %%fs:0, %0" : "=r"(fs)); /* the thread pointer is its own first word */
	entry = (uint64_t)&direct_entry_ptr - fs;
	iret = (uint64_t)&direct_iret_ptr - fs;
	memset(page, 0xcc, PAGE_SIZE);
	for (uint32_t nr = 0; nr < PAGE_SIZE / 32; nr++) {
		static const uint8_t push[] = {0x51, 0x41, 0x53, 0x50}; /* rcx, r11, rax */
		static const uint8_t jmp_fs[] = {0x64, 0xff, 0x24, 0x25};
		uint8_t *p = page + nr * 32;
		bool is_iret = nr == __HYPERVISOR_iret;

		if (is_iret) {
			memcpy(p, push, sizeof(push));
			p += sizeof(push);
		}
		*p++ = 0xb8;
		memcpy(p, &nr, 4);
		p += 4;
		memcpy(p, jmp_fs, sizeof(jmp_fs));
		memcpy(p + sizeof(jmp_fs), is_iret ? &iret : &entry, 4);
	}
}

static int domain_init(struct domain *d)
{
	process_id = getpid();
	return signals_init();
}

static int vcpu_init(struct vcpu *v)
{
	direct_entry_ptr = direct_entry;
	direct_iret_ptr = direct_entry_iret;
	return signals_thread_init(v);
}

static _Noreturn void vcpu_run(struct vcpu *v)
{
	direct_kicked = 1; /* look at everything once before the first instruction */
	direct_start(v);
}

static void kick(struct vcpu *v)
{
	syscall(SYS_tgkill, process_id, v->tid, SIGUSR1);
}

static void load_segments(struct vcpu *v)
{
	asm volatile("wrgsbase %0" : : "r"(v->gs_base_kernel));
}

const struct provider provider_process = {
	.name = "process (direct)",
	.keeps_fs = true,
	.domain_init = domain_init,
	.vcpu_init = vcpu_init,
	.vcpu_run = vcpu_run,
	.kick = kick,
	.invalidate = mirror_invalidate,
	.invalidate_all = mirror_invalidate_all,
	.load_segments = load_segments,
	.fill_hypercall_page = fill_hypercall_page,
};
