/* SPDX-License-Identifier: MIT */
#include "user.h"

TEST("user-step", "single steps through a user program and its system call, and over a hypercall");

#define BS   0x4000ul
#define MAX  16
#define CALL 0x1234ul

static unsigned int nr, calls;
static uint64_t rips[MAX], dr6s[MAX];
static uint64_t call_flags, call_rip;
static char bytes[3];
extern char u_0[], u_1[], u_2[], u_3[], u_4[], k_0[], k_1[], k_2[], k_3[], user_return[];
extern char r_1[], r_2[];
void stepped(void *arg);
void stepped_string(void *arg);

__asm__("stepped:\n"
	"u_0:	nop\n"
	"u_1:	movl $0x1234, %eax\n"
	"u_2:	syscall\n"
	"u_3:	nop\n"
	"u_4:	ret\n"
	"stepped_string:\n"
	"	movl $3, %ecx\n"
	"r_1:	rep stosb\n"
	"r_2:	ret");

static void note(const struct trap_regs *regs)
{
	if (nr < MAX) {
		rips[nr] = regs->rip;
		dr6s[nr] = HYPERVISOR_get_debugreg(6);
	}
	HYPERVISOR_set_debugreg(6, 0);
	nr++;
}

static void user_trap(struct trap_regs *regs)
{
	note(regs);
	if (regs->vector != 1 || nr == MAX)
		user_back(regs);
}

static void user_call(struct trap_regs *regs)
{
	if (regs->rax != CALL || calls++) {
		user_back(regs);
		return;
	}
	call_flags = regs->rflags;
	call_rip = regs->rip;
}

static bool kernel_step(struct trap_regs *regs)
{
	note(regs);
	if (regs->rip >= (uint64_t)k_3 || nr == MAX)
		regs->rflags &= ~FLAG_TF;
	return true;
}

static bool start(struct trap_regs *regs)
{
	regs->rflags |= FLAG_TF;
	return true;
}

/* The steps came behind these instructions, each for that reason. */
static void check_steps(const char *what, const char *const *at, unsigned int n)
{
	check_eq(what, nr, n);
	for (unsigned int i = 0; i < n && i < nr; i++) {
		check_eq(what, (long)rips[i], (long)at[i]);
		check_eq(what, (long)(dr6s[i] & 0xe00f), BS);
	}
}

void test_main(void)
{
	struct trap_regs regs;

	trap_set_handler(1, kernel_step);
	trap_set_handler(3, start);
	__asm__ volatile("int3\n"
			 "k_0:	movl %0, %%eax\n"
			 "k_1:	syscall\n"
			 "k_2:	nop\n"
			 "k_3:	nop; nop"
			 :
			 : "i"(__HYPERVISOR_xen_version), "D"(XENVER_version), "S"(0)
			 : "rax", "rcx", "r11", "memory");
	trap_set_handler(3, NULL);
	/* What a system call's return restores is not stepped: TF counts from the next one on. */
	check_steps("kernel", (const char *const[]){k_1, k_3}, 2);
	user_init();
	trap_from_user = user_trap;
	syscall_from_user = user_call;
	nr = 0;
	user_run_flags(stepped, NULL, FLAG_TF, &regs);
	check_steps("user", (const char *const[]){u_1, u_2, u_4, user_return, user_return + 5}, 5);
	check_eq("one system call", calls, 1);
	check_eq("from there", (long)call_rip, (long)u_3);
	check("the kernel sees TF", call_flags & FLAG_TF);
	nr = 0;
	user_run_flags(stepped_string, bytes, FLAG_TF, &regs);
	check_steps("each byte of a string",
		    (const char *const[]){r_1, r_1, r_1, r_2, user_return, user_return + 5}, 6);
}
