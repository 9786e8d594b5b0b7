/* SPDX-License-Identifier: MIT */
/* What a user must not do ends it, and nothing else. */
#include "user.h"

#define DIES STATUS_SIGNAL(SIGSEGV)

/* Functions named forbidden_* hold instructions that are the kernel's or nobody's. */
#define FORBIDDEN(name, insn)                                             \
	static void __attribute__((noinline)) forbidden_##name(void)      \
	{                                                                 \
		__asm__ volatile(insn ::: "rax", "rcx", "rdx", "memory"); \
	}

FORBIDDEN(hlt, "hlt")
FORBIDDEN(cli, "cli")
FORBIDDEN(in, "xorl %%edx, %%edx; inb %%dx, %%al")
FORBIDDEN(out, "movl $0x80, %%edx; outb %%al, %%dx")
FORBIDDEN(cr3, "movq %%cr3, %%rax")
FORBIDDEN(load_cr3, "xorl %%eax, %%eax; movq %%rax, %%cr3")
FORBIDDEN(clts, "clts")
FORBIDDEN(rdmsr, "movl $0xc0000080, %%ecx; rdmsr")
FORBIDDEN(wrmsr, "movl $0xc0000080, %%ecx; xorl %%eax, %%eax; cltd; wrmsr")
FORBIDDEN(lgdt, "lgdt (%%rsp)")
FORBIDDEN(ud2, "ud2")
FORBIDDEN(divide, "xorl %%ecx, %%ecx; movl $1, %%eax; cltd; divl %%ecx")
FORBIDDEN(int3, "int3")
FORBIDDEN(int80, "int $0x80")
FORBIDDEN(int_gate, "int $0x0e")
FORBIDDEN(selector, "movl $0x1234, %%eax; movw %%ax, %%ds")

static const char constant[] = "constant";

static void __attribute__((noipa)) read_at(unsigned long va)
{
	*(volatile char *)va;
}

static void __attribute__((noipa)) write_at(unsigned long va)
{
	*(volatile char *)va = 1;
}

static void null_read(void)
{
	read_at(0);
}

static void null_write(void)
{
	write_at(8);
}

static void jump_wild(void)
{
	((void (*)(void))0x1234)();
}

static void kernel_read(void)
{
	read_at(0x400000);
}

static void kernel_write(void)
{
	write_at(0x400000);
}

static void kernel_jump(void)
{
	((void (*)(void))0x401000)();
}

static void xen_read(void)
{
	read_at(0xffff82d040200000ul);
}

static void m2p_write(void)
{
	write_at(0xffff800000000000ul);
}

static void non_canonical(void)
{
	read_at(1ul << 63);
}

static void text_write(void)
{
	write_at((unsigned long)null_read);
}

static void constant_write(void)
{
	write_at((unsigned long)constant);
}

static void stack_execute(void)
{
	volatile char code[16] = {(char)0xc3};

	((void (*)(void))code)();
}

static void above_stack(void)
{
	read_at(USER_END);
}

static int recurse(volatile char *outer)
{
	volatile char big[1000];

	big[0] = outer[0];
	return big[0] ? 0 : recurse(big) + big[1];
}

static void stack_overflow(void)
{
	volatile char c = 0;

	recurse(&c);
}

static void wild_return(void)
{
	/* A stack pointer into nowhere must not hurt the kernel on the way in or out. */
	__asm__ volatile("xorl %%esp, %%esp; movl %0, %%eax; syscall; popq %%rax" ::"i"(SYS_getpid)
			 : "memory");
}

static void wild_sigreturn(void)
{
	SYSCALL(SYS_sigreturn, 0, 0, 0);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *what;
		void (*fn)(void);
	} faults[] = {
		{"read through a null pointer", null_read},
		{"write through one", null_write},
		{"jump through a wild one", jump_wild},
		{"read the kernel", kernel_read},
		{"write the kernel", kernel_write},
		{"jump into the kernel", kernel_jump},
		{"read the hypervisor", xen_read},
		{"write the machine-to-physical table", m2p_write},
		{"a non-canonical address", non_canonical},
		{"write to code", text_write},
		{"write to a constant", constant_write},
		{"execute the stack", stack_execute},
		{"beyond the stack", above_stack},
		{"overflow the stack", stack_overflow},
		{"a stack pointer of zero", wild_return},
		{"a return from no signal", wild_sigreturn},
		{"hlt", forbidden_hlt},
		{"cli", forbidden_cli},
		{"in", forbidden_in},
		{"out", forbidden_out},
		{"read cr3", forbidden_cr3},
		{"load cr3", forbidden_load_cr3},
		{"clts", forbidden_clts},
		{"rdmsr", forbidden_rdmsr},
		{"wrmsr", forbidden_wrmsr},
		{"lgdt", forbidden_lgdt},
		{"ud2", forbidden_ud2},
		{"divide by zero", forbidden_divide},
		{"int3", forbidden_int3},
		{"int 0x80 without a gate", forbidden_int80},
		{"int of an exception's gate", forbidden_int_gate},
		{"load a wild selector", forbidden_selector},
	};
	char text[64];

	for (unsigned int i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		snprintf(text, sizeof(text), "fault: %s", faults[i].what);
		check(text, in_child(faults[i].fn) == DIES);
	}
	check("fault: a wild buffer is only an error", write(1, (void *)8, 8) == -14);
	check("fault: and so is a wild name", open((char *)0x400000) == -14);
	return failures();
}
