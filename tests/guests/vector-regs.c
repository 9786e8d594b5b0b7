/* SPDX-License-Identifier: MIT */
#include "common.h"
#include <pv/grant.h>

TEST("vector-regs", "hypercalls, faults and upcalls keep every vector register and mxcsr");

struct vec {
	uint8_t xmm[16][16];
	uint32_t mxcsr;
} __attribute__((aligned(64)));

static struct vec in, out;

/* vec_call(fn, arg, in, out): fn(arg) between loading and storing all sixteen. */
void vec_call(void (*fn)(void *), void *arg, const struct vec *in, struct vec *out);

#define EACH(op)                                                                                \
	op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13) \
		op(14) op(15)
#define LOAD(n)	 "	movdqa 16*" #n "(%rdx), %xmm" #n "\n"
#define STORE(n) "	movdqa %xmm" #n ", 16*" #n "(%rbx)\n"

__asm__("vec_call:\n"
	"	pushq %rbx\n"
	"	movq %rcx, %rbx\n"
	"	movq %rdi, %rax\n"
	"	movq %rsi, %rdi\n" EACH(LOAD) "	ldmxcsr 256(%rdx)\n"
					      "	call *%rax\n"
					      "	stmxcsr 256(%rbx)\n" EACH(STORE) "	popq %rbx\n"
										 "	ret\n");

static unsigned int port;
static struct gnttab_copy copy_op;
static char *scratch;

static void call_version(void *arg)
{
	char text[1024];

	HYPERVISOR_xen_version(XENVER_version, NULL);
	HYPERVISOR_xen_version(XENVER_capabilities, text);
}

static void call_unknown(void *arg)
{
	raw_hypercall(62, 0, 0, 0);
}

static void call_mmu(void *arg)
{
	HYPERVISOR_update_va_mapping((unsigned long)scratch, mfn_pte(va_to_mfn(scratch), PTE_KERN),
				     UVMF_INVLPG);
	mmuext(MMUEXT_TLB_FLUSH_ALL, 0);
	mmuext(MMUEXT_CLEAR_PAGE, va_to_mfn(scratch));
	*(volatile char *)scratch = 1;
}

static void call_root(void *arg)
{
	mmuext(MMUEXT_NEW_BASEPTR, va_to_mfn((void *)start_info->pt_base));
}

static void call_memory(void *arg)
{
	domid_t self = DOMID_SELF;

	HYPERVISOR_memory_op(XENMEM_current_reservation, &self);
}

static void call_grant(void *arg)
{
	HYPERVISOR_grant_table_op(GNTTABOP_copy, &copy_op, 1);
}

static void call_event(void *arg)
{
	event_send(port);
}

static void call_sched(void *arg)
{
	struct sched_poll poll = {.timeout = time_ns() + 2 * MSEC};

	HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
	HYPERVISOR_sched_op(SCHEDOP_poll, &poll);
}

static void call_vcpu(void *arg)
{
	struct vcpu_runstate_info info;

	HYPERVISOR_vcpu_op(VCPUOP_get_runstate_info, 0, &info);
	HYPERVISOR_set_timer_op(0);
}

static void call_multicall(void *arg)
{
	struct multicall_entry list[2] = {
		{.op = __HYPERVISOR_xen_version, .args = {XENVER_version}},
		{.op = __HYPERVISOR_sched_op, .args = {SCHEDOP_yield}},
	};

	HYPERVISOR_multicall(list, 2);
}

static void call_console(void *arg)
{
	printf("a line from between the registers\n");
}

static void call_fault(void *arg)
{
	vector_of(do_read, (void *)NOWHERE);
	vector_of(do_write, (void *)NON_CANON);
}

static void __attribute__((noinline)) forbidden_cpuid(void *arg)
{
	__asm__ volatile("ud2; .byte 'x', 'e', 'n'; cpuid" ::"a"(0x40000000), "c"(0)
			 : "rbx", "rdx");
}

static void run(const char *name, void (*fn)(void *))
{
	memset(&out, 0, sizeof(out));
	vec_call(fn, NULL, &in, &out);
	check(name, !memcmp(in.xmm, out.xmm, sizeof(in.xmm)));
	check_eq(name, out.mxcsr, in.mxcsr);
}

static unsigned int events;

static void dirty(unsigned int p, void *data)
{
	events++;
}

void test_main(void)
{
	static const struct {
		const char *name;
		void (*fn)(void *);
	} calls[] = {
		{"xen_version", call_version},
		{"unknown", call_unknown},
		{"mmu", call_mmu},
		{"root", call_root},
		{"memory_op", call_memory},
		{"grant copy", call_grant},
		{"event", call_event},
		{"sched_op", call_sched},
		{"vcpu_op", call_vcpu},
		{"multicall", call_multicall},
		{"console", call_console},
		{"faults", call_fault},
		{"forced cpuid", forbidden_cpuid},
	};

	scratch = page_alloc();
	for (unsigned int i = 0; i < sizeof(in.xmm); i++)
		in.xmm[i / 16][i % 16] = (uint8_t)(i * 37 + 11);
	in.mxcsr = 0x1f80 | 0x6000; /* rounds towards zero, which nothing else does */
	port = (unsigned int)event_bind_ipi();
	event_bind(port, dirty, NULL);
	copy_op = (struct gnttab_copy){
		.source = {.u.gmfn = va_to_mfn(scratch), .domid = DOMID_SELF},
		.dest = {.u.gmfn = va_to_mfn(scratch), .domid = DOMID_SELF, .offset = 2048},
		.len = 1000,
	};
	for (int enabled = 0; enabled < 2; enabled++) {
		for (unsigned int i = 0; i < ARRAY_SIZE(calls); i++)
			run(calls[i].name, calls[i].fn);
		upcalls_enable();
	}
	check("the upcall came", events > 0);
}
