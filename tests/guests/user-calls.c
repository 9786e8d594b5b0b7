/* SPDX-License-Identifier: MIT */
/* vcpus: 2 */
#include "user.h"
#include "vcpu.h"

TEST("user-calls",
     "a user's calls and the ways back, again and again, whatever their frames and stacks are");

#define TIMES	   4	 /* what was seldom needed may be known by then */
#define ROUNDS	   50000 /* with another vCPU that sends events */
#define IN_SYSCALL 0x100ul
#define RAX	   0x1010101010101010ul
#define RCX	   0x1111222233334444ul
#define R11	   0x5555666677778888ul
#define RDX	   0x2020202020202020ul
#define R14	   0x1414141414141414ul
#define R15	   0x1515151515151515ul
#define FLAGS	   0x8d5ul /* the arithmetic ones */
#define NOT_YET	   0x7777777777777777ul

/* The iret's frame from its `flags` on; what the user found then, and the kernel at its call. */
uint64_t *calls_iret, calls_user_found[5], calls_frame[7], calls_rsp, calls_flags, calls_regs[4];
uint64_t calls_sp_saved;
uint8_t calls_mask;
/* To user mode by the iret, or by what the NMI's handler makes of its own; until the call. */
void calls_run(bool nmi);
extern char forbidden_calls_user[], forbidden_calls_entry[], calls_behind[], calls_user[];

__asm__("calls_run:\n"
	"	pushq %rbx\n"
	"	pushq %rbp\n"
	"	pushq %r12\n"
	"	pushq %r13\n"
	"	pushq %r14\n"
	"	pushq %r15\n"
	"	movq %rsp, calls_sp_saved(%rip)\n"
	"	testl %edi, %edi\n"
	"	jnz 1f\n"
	"	movq calls_iret(%rip), %rsp\n"
	"	movabsq $0x1010101010101010, %rax\n"
	"	movabsq $0x1111222233334444, %rcx\n"
	"	movabsq $0x5555666677778888, %r11\n"
	"	movabsq $0x2020202020202020, %rdx\n"
	"	movabsq $0x1414141414141414, %r14\n"
	"	movabsq $0x1515151515151515, %r15\n"
	"	jmp hypercall_page + 23 * 32\n"
	"1:	movl $11, %edi\n" /* VCPUOP_send_nmi */
	"	xorl %esi, %esi\n"
	"	xorl %edx, %edx\n"
	"	call hypercall_page + 24 * 32\n"
	"	ud2\n"
	"calls_user:\n"
	"forbidden_calls_user:\n"
	"	movq %rax, calls_user_found(%rip)\n"
	"	movq %rcx, calls_user_found+8(%rip)\n"
	"	movq %r11, calls_user_found+16(%rip)\n"
	"	movq %rsp, calls_user_found+24(%rip)\n"
	"	pushfq\n"
	"	popq calls_user_found+32(%rip)\n"
	"	syscall\n"
	"calls_behind: ud2\n"
	"forbidden_calls_entry:\n"
	"	movq %rsp, calls_rsp(%rip)\n"
	"	pushfq\n"
	"	popq calls_flags(%rip)\n"
	"	movq %rax, calls_regs(%rip)\n"
	"	movq %rdx, calls_regs+8(%rip)\n"
	"	movq %r14, calls_regs+16(%rip)\n"
	"	movq %r15, calls_regs+24(%rip)\n"
	"	movb pv_shared_info+1(%rip), %al\n"
	"	movb %al, calls_mask(%rip)\n"
	"	movb $1, pv_shared_info+1(%rip)\n"
	"	cld\n"
	"	movq %rsp, %rsi\n"
	"	leaq calls_frame(%rip), %rdi\n"
	"	movl $7, %ecx\n"
	"	rep movsq\n"
	"	movq calls_sp_saved(%rip), %rsp\n"
	"	popq %r15\n"
	"	popq %r14\n"
	"	popq %r13\n"
	"	popq %r12\n"
	"	popq %rbp\n"
	"	popq %rbx\n"
	"	ret\n");

static char user_stack[4096] __attribute__((aligned(16)));
static char stack[3 * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static char iret_page[2 * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static unsigned int port;
static unsigned long events, nmis, late; /* late: behind the user's first instruction */

/* How the user is entered, and with which stack its kernel is. */
static struct {
	const char *what;
	uint64_t bits, rflags, sp;
	uint64_t *iret;
} how;

static void defaults(const char *what)
{
	how.what = what;
	how.bits = 0;
	how.rflags = FLAG_IF | FLAG_ONE;
	how.sp = (uint64_t)stack + sizeof(stack) - 2048;
	how.iret = (uint64_t *)(iret_page + 2048);
}

static void run(bool nmi)
{
	const uint64_t frame[6] = {how.bits,
				   (uint64_t)calls_user,
				   FLAT_USER_CS,
				   how.rflags,
				   (uint64_t)(user_stack + sizeof(user_stack)),
				   FLAT_USER_SS};

	memcpy(how.iret, frame, sizeof(frame));
	calls_iret = how.iret;
	memset(calls_frame, 0x77, sizeof(calls_frame));
	memset(calls_user_found, 0x77, sizeof(calls_user_found));
	calls_run(nmi);
}

/* The first that is not as it has to be, or NULL. */
static const char *wrong(void)
{
	const uint64_t flags = how.rflags & ~0x3000ul, masked = !(how.rflags & FLAG_IF);
	const uint64_t user_sp = (uint64_t)user_stack + sizeof(user_stack);
	const struct {
		const char *what;
		uint64_t got, want;
	} all[] = {
		{"user: rax", calls_user_found[0], RAX},
		{"user: rcx", calls_user_found[1], how.bits ? (uint64_t)calls_user : RCX},
		{"user: r11", calls_user_found[2] | FLAG_IF,
		 how.bits ? flags | FLAG_IF : R11 | FLAG_IF},
		{"user: rsp", calls_user_found[3], user_sp},
		{"user: flags", calls_user_found[4] & (FLAGS | FLAG_DF | FLAG_IF),
		 (flags & (FLAGS | FLAG_DF)) | FLAG_IF},
		{"rcx", calls_frame[0], (uint64_t)calls_behind},
		{"r11", calls_frame[1] & ~0x10000ul, flags | FLAG_IF},
		{"rip", calls_frame[2], (uint64_t)calls_behind},
		{"cs", calls_frame[3], FLAT_USER_CS | masked << 32},
		{"rflags", calls_frame[4] & ~0x10000ul, flags},
		{"rsp", calls_frame[5], user_sp},
		{"ss", calls_frame[6], FLAT_USER_SS},
		{"kernel: rsp", calls_rsp, (how.sp & ~15ul) - 56},
		{"kernel: flags", calls_flags & (NO_FLAGS | FLAG_DF | FLAGS), flags & FLAGS},
		{"kernel: rax", calls_regs[0], RAX},
		{"kernel: rdx", calls_regs[1], RDX},
		{"kernel: r14", calls_regs[2], R14},
		{"kernel: r15", calls_regs[3], R15},
		{"events are masked", calls_mask, 1},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i].got != all[i].want) {
			printf("%s: %s is %lx, not %lx\n", how.what, all[i].what, all[i].got,
			       all[i].want);
			return all[i].what;
		}
	return NULL;
}

static void again(void)
{
	unsigned int bad = 0;

	HYPERVISOR_stack_switch(FLAT_KERNEL_SS, how.sp);
	for (unsigned int i = 0; i < TIMES; i++) {
		run(false);
		bad += wrong() != NULL;
	}
	check_eq(how.what, bad, 0);
}

static void flags(void)
{
	static const uint64_t more[] = {FLAGS,	 0x1,	  0x800,   0x880,
					FLAG_DF, FLAG_NT, FLAG_AC, 0x3000};

	defaults("as usual");
	again();
	how.what = "as from a call";
	how.bits = IN_SYSCALL;
	again();
	for (unsigned int i = 0; i < ARRAY_SIZE(more); i++)
		for (unsigned int call = 0; call < 2; call++) {
			defaults("flags");
			how.rflags |= more[i];
			how.bits = call ? IN_SYSCALL : 0;
			again();
		}
	defaults("events masked");
	how.rflags &= ~FLAG_IF;
	again();
}

/* Two pages whose frames do not follow each other. */
static unsigned long two_pages(void)
{
	char *first = page_alloc(), *second = page_alloc();
	const bool swap = va_to_mfn(second) == va_to_mfn(first) + 1;
	const unsigned long va = va_alloc(2);

	check_eq("map", map_mfn(va, va_to_mfn(swap ? second : first), PTE_KERN), 0);
	check_eq("map", map_mfn(va + PAGE_SIZE, va_to_mfn(swap ? first : second), PTE_KERN), 0);
	return va + PAGE_SIZE;
}

static void places(void)
{
	const unsigned long call = two_pages(), iret = two_pages();

	for (unsigned int at = 0; at <= 64; at += 8) {
		defaults("the call's frame begins in the page before");
		how.sp = call + at;
		again();
		defaults("the iret's frame ends in the next page");
		how.iret = (uint64_t *)(iret + at - 24);
		again();
	}
}

static uint64_t rip_in(const char *page)
{
	return *(const uint64_t *)(page + PAGE_SIZE - 40);
}

/* The stack becomes another page, which the next call has to find. */
static void moves(void)
{
	char *page[2] = {page_alloc(), page_alloc()};
	const unsigned long va = va_alloc(1);

	defaults("on a page that changes");
	how.sp = va + PAGE_SIZE;
	for (unsigned int i = 0; i < 4; i++) {
		memset(page[0], 0, PAGE_SIZE);
		memset(page[1], 0, PAGE_SIZE);
		check_eq("map", map_mfn(va, va_to_mfn(page[i & 1]), PTE_KERN), 0);
		again();
		check_eq("in the page", (long)rip_in(page[i & 1]), (long)calls_behind);
		check_eq("and not in the other", (long)rip_in(page[~i & 1]), 0);
	}
}

static void note(unsigned int p, void *data)
{
	events++;
	if (calls_user_found[0] != NOT_YET)
		late++;
}

/* What waits comes on the way to the user. */
static void waiting(void)
{
	defaults("with an event");
	HYPERVISOR_stack_switch(FLAT_KERNEL_SS, how.sp);
	for (unsigned int i = 0; i < TIMES; i++) {
		const unsigned long before = events;

		event_send(port);
		run(false);
		check("with an event: all is as it was", !wrong());
		check_eq("which came once", (long)(events - before), 1);
	}
	check_eq("and before the user's first instruction", (long)late, 0);
}

/* To the user in place of the code that was interrupted. */
static bool nmi(struct trap_regs *regs)
{
	nmis++;
	regs->rip = (uint64_t)calls_user;
	regs->rsp = (uint64_t)(user_stack + sizeof(user_stack));
	regs->cs = FLAT_USER_CS;
	regs->ss = FLAT_USER_SS;
	regs->rflags = FLAG_IF | FLAG_ONE;
	return true;
}

static void from_nmi(void)
{
	trap_set_handler(2, nmi);
	defaults("an NMI's iret");
	HYPERVISOR_stack_switch(FLAT_KERNEL_SS, how.sp);
	for (unsigned int i = 0; i < TIMES; i++) {
		run(true);
		check_eq("an NMI ends in user mode, and the next is one", (long)nmis, i + 1);
		check_eq("the user called", (long)calls_frame[2], (long)calls_behind);
	}
}

static volatile bool stop;

static void sender(void)
{
	while (!stop)
		event_send(port);
	HYPERVISOR_vcpu_op(VCPUOP_down, 1, NULL);
}

/* Another vCPU's events come at any place of all this. */
static void disturbed(void)
{
	static char stack1[PAGE_SIZE] __attribute__((aligned(16)));
	static struct vcpu_guest_context c;
	const unsigned long before = events;
	unsigned int rounds = is_slow() ? ROUNDS / 50 : ROUNDS, bad = 0;

	defaults("disturbed");
	HYPERVISOR_stack_switch(FLAT_KERNEL_SS, how.sp);
	vcpu_context(&c, (void *)sender, stack1, sizeof(stack1));
	vcpu_start(1, &c);
	for (unsigned int i = 0; (i < rounds || events - before < 10) && bad < 5; i++) {
		how.bits = i & 1 ? IN_SYSCALL : 0;
		how.rflags = FLAG_IF | FLAG_ONE | (i & 0x8d5);
		run(false);
		bad += wrong() != NULL;
	}
	stop = true;
	while (HYPERVISOR_vcpu_op(VCPUOP_is_up, 1, NULL))
		HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
	check_eq("disturbed", bad, 0);
}

/* Which flags a kernel is entered with is what each hypervisor, or its CPU, makes of it. */
static bool on_pavane(void)
{
	static xen_extraversion_t extra;

	HYPERVISOR_xen_version(XENVER_extraversion, &extra);
	return strstr(extra, "pavane");
}

void test_main(void)
{
	struct callback_register reg = {
		.type = CALLBACKTYPE_syscall,
		.flags = CALLBACKF_mask_events,
		.address = (unsigned long)forbidden_calls_entry,
	};

	if (!on_pavane())
		skip("the flags that a kernel is entered with are another hypervisor's");
	user_init();
	check_eq("entry", HYPERVISOR_callback_op(CALLBACKOP_register, &reg), 0);
	port = (unsigned int)event_bind_ipi();
	event_bind(port, note, NULL);
	flags();
	places();
	moves();
	waiting();
	from_nmi();
	disturbed();
}
