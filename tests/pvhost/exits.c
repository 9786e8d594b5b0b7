/* SPDX-License-Identifier: MIT */
/* Every kind of exit arrives with what the SDM says it carries; nothing else arrives. */
#include <errno.h>
#include <signal.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/pvhost/raw.h"

static struct raw r;

static int run_code(const void *code, unsigned size)
{
	raw_code(&r, code, size);
	return raw_run(&r);
}

#define RUN(...) run_code((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))
#define VMCALL	 0x0f, 0x01, 0xc1

static void expect(const char *name, int got, int want)
{
	check(got == want, name, "reason %d (rip %lx, qualification %lx), not %d", got,
	      (long)r.run->rip, (long)r.run->qualification, want);
}

static void instructions(void)
{
	expect("vmcall", RUN(VMCALL), PVHOST_EXIT_VMCALL);
	check(r.run->rip == RAW_CODE && r.run->instruction_length == 3, "vmcall: not skipped",
	      "rip %lx", (long)r.run->rip);
	expect("hlt", RUN(0xf4), PVHOST_EXIT_HLT);
	expect("cpuid", RUN(0x0f, 0xa2), PVHOST_EXIT_CPUID);
	expect("in", RUN(0xec), PVHOST_EXIT_IO);
	expect("mov to cr8", RUN(0x44, 0x0f, 0x22, 0xc0), PVHOST_EXIT_CR);
	r.run->rcx = 0x1b;
	expect("rdmsr of APIC_BASE", RUN(0x0f, 0x32), PVHOST_EXIT_RDMSR);
	expect("wrmsr of APIC_BASE", RUN(0x0f, 0x30), PVHOST_EXIT_WRMSR);
	r.run->rcx = 0xc0000082;
	expect("wrmsr of LSTAR", RUN(0x0f, 0x30), PVHOST_EXIT_WRMSR);
	r.run->rcx = 0xc0000102;
	r.run->rax = 0x1234;
	r.run->rdx = 0;
	expect("wrmsr of KERNEL_GS_BASE passes", RUN(0x0f, 0x30, VMCALL), PVHOST_EXIT_VMCALL);
	r.run->rax = 0;
	expect("and it stays", RUN(0x0f, 0x32, VMCALL), PVHOST_EXIT_VMCALL);
	check(r.run->rax == 0x1234, "with its value", "%lx", (long)r.run->rax);
	expect("cli, sti, invlpg", RUN(0xfa, 0xfb, 0x0f, 0x01, 0x38, VMCALL), PVHOST_EXIT_VMCALL);
	expect("no IDT: triple fault", RUN(0x0f, 0x0b), PVHOST_EXIT_TRIPLE_FAULT);
	r.run->rax = 0;
	expect("mov to cr0: PG stays", RUN(0x0f, 0x22, 0xc0), PVHOST_EXIT_CR);
	expect("mov from cr3, to cr3", RUN(0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8, VMCALL),
	       PVHOST_EXIT_VMCALL);
	check(r.run->rax == 0x1000, "cr3 has its value", "%lx", (long)r.run->rax);
	expect("vmxon is no way out", RUN(0xf3, 0x0f, 0xc7, 0x37), 27);
	expect("xsetbv", RUN(0x0f, 0x01, 0xd1), 55);
}

static volatile uint64_t watched;

/* A breakpoint of Linux's on `watched`, and how often it was met. */
static int host_breakpoint(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_BREAKPOINT,
		.size = sizeof(attr),
		.bp_type = HW_BREAKPOINT_W,
		.bp_addr = (uint64_t)&watched,
		.bp_len = HW_BREAKPOINT_LEN_8,
	};

	return syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

static uint64_t host_hits(int fd)
{
	uint64_t n = ~0UL;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : ~0UL;
}

/* They are the guest's own from its first use on, and the host's are as they were. */
static void debug_registers(void)
{
	static const uint8_t get[] = {0x0f, 0x21, 0xc0,		 /* mov %dr0, %rax */
				      0x0f, 0x21, 0xd9,		 /* mov %dr3, %rcx */
				      0x0f, 0x21, 0xfb,		 /* mov %dr7, %rbx */
				      0x0f, 0x21, 0xf2, VMCALL}; /* mov %dr6, %rdx */
	static const uint8_t set[] = {0x0f, 0x23, 0xc0, 0x0f, 0x23, 0xfb, VMCALL};
	static const uint8_t store[] = {0x48, 0x89, 0x07, VMCALL}; /* mov %rax, (%rdi) */
	const int fd = host_breakpoint();

	check(fd >= 0, "a breakpoint of the host's", "errno %d", errno);
	watched = 1;
	check(host_hits(fd) == 1, "is met", "%lu", (long)host_hits(fd));
	expect("debug registers", run_code(get, sizeof(get)), PVHOST_EXIT_VMCALL);
	check(!r.run->rax && !r.run->rcx && r.run->rbx == 0x400 && r.run->rdx == 0xffff0ff0,
	      "are a guest's own", "%lx, %lx, %lx, %lx", (long)r.run->rax, (long)r.run->rcx,
	      (long)r.run->rbx, (long)r.run->rdx);
	watched = 2;
	check(host_hits(fd) == 2, "the host's is still there", "%lu", (long)host_hits(fd));
	r.run->rax = 0x202000;
	r.run->rbx = 0x90001; /* dr0: writes of 8 bytes */
	expect("a guest's breakpoint", run_code(set, sizeof(set)), PVHOST_EXIT_VMCALL);
	watched = 3;
	check(host_hits(fd) == 3, "the host's is met instead", "%lu", (long)host_hits(fd));
	r.run->rax = r.run->rbx = 0;
	expect("later", run_code(get, sizeof(get)), PVHOST_EXIT_VMCALL);
	check(r.run->rax == 0x202000 && r.run->rbx == 0x90401, "it is there", "%lx, %lx",
	      (long)r.run->rax, (long)r.run->rbx);
	r.run->rdi = 0x202008;
	expect("a store beside it", run_code(store, sizeof(store)), PVHOST_EXIT_VMCALL);
	check(!r.run->dr6, "no trap", "%x", r.run->dr6);
	r.run->rdi = 0x202000;
	expect("a store there, no IDT", run_code(store, sizeof(store)), PVHOST_EXIT_TRIPLE_FAULT);
	check(r.run->dr6 == 1, "told in dr6", "%x", r.run->dr6);
	r.run->rbx = 0;
	expect("off", run_code(set, sizeof(set)), PVHOST_EXIT_VMCALL);
	expect("dr6 for the guest", run_code(get, sizeof(get)), PVHOST_EXIT_VMCALL);
	check(r.run->rdx == 0xffff0ff1, "says the same", "%lx", (long)r.run->rdx);
	r.run->dr6 = 0;
	expect("a store there", run_code(store, sizeof(store)), PVHOST_EXIT_VMCALL);
	watched = 4;
	check(host_hits(fd) == 4, "the host's at last", "%lu", (long)host_hits(fd));
	close(fd);
}

static void nop(void)
{
	static const uint8_t loop[] = {
		0x48, 0xb8, 0,	    0,	  0x74, 0x73, 0x6f, 0x68, 0x76, 0x70, /* mov $NOP, %rax */
		0xb9, 100,  0,	    0,	  0,				      /* mov $100, %ecx */
		0x0f, 0x01, 0xc1,   0xe2, 0xfb, /* 1: vmcall; loop 1b */
		0x31, 0xc0, VMCALL,
	};
	const uint64_t before = r.run->exits - r.run->interrupts;
	uint64_t exits;

	expect("a loop of null exits", run_code(loop, sizeof(loop)), PVHOST_EXIT_VMCALL);
	exits = r.run->exits - r.run->interrupts - before;
	check(exits == 101, "they were exits", "%lu of them", (long)exits);
}

static void memory(void)
{
	static const uint8_t store[] = {0x89, 0x07, VMCALL}; /* mov %eax, (%rdi) */

	memset(r.mem + 0x200000, 0, 0x200000);
	r.run->rax = 0x55aa;
	r.run->rdi = 0x201000;
	expect("a store", run_code(store, sizeof(store)), PVHOST_EXIT_VMCALL);
	check(*(uint32_t *)(r.mem + 0x201000) == 0x55aa, "is seen by the process", "%x",
	      *(uint32_t *)(r.mem + 0x201000));
	madvise(r.mem + 0x200000, 0x200000, MADV_DONTNEED);
	check(!*(uint32_t *)(r.mem + 0x201000), "madvise throws it away", "no");
	expect("a store again", run_code(store, sizeof(store)), PVHOST_EXIT_VMCALL);
	check(*(uint32_t *)(r.mem + 0x201000) == 0x55aa, "goes to the new page", "%x",
	      *(uint32_t *)(r.mem + 0x201000));
	mprotect(r.mem + 0x200000, 0x200000, PROT_READ);
	expect("a store after mprotect", run_code(store, sizeof(store)), PVHOST_EXIT_EPT_VIOLATION);
	check(r.run->gpa == 0x201000 && r.run->linear == 0x201000, "with its address", "%lx",
	      (long)r.run->gpa);
	munmap(r.mem + 0x201000, 0x1000);
	expect("a store after munmap", run_code(store, sizeof(store)), PVHOST_EXIT_EPT_VIOLATION);
	r.run->rdi = 0x600000;
	expect("a store outside the region", run_code(store, sizeof(store)),
	       PVHOST_EXIT_EPT_VIOLATION);
	check(r.run->gpa == 0x600000 && (r.run->qualification & 2), "with its address, as a write",
	      "%lx, %lx", (long)r.run->gpa, (long)r.run->qualification);
}

static void on_alarm(int sig)
{
}

static void interrupted(void)
{
	const struct itimerval soon = {.it_value = {.tv_usec = 20000}};
	uint64_t exits, interrupts;
	int ret;

	signal(SIGALRM, on_alarm);
	/* sti; nop; jmp . (in Bochs 2.7 a guest with IF clear keeps the host's interrupts out). */
	raw_code(&r, (const uint8_t[]){0xfb, 0x90, 0xeb, 0xfe}, 4);
	exits = r.run->exits;
	interrupts = r.run->interrupts;
	setitimer(ITIMER_REAL, &soon, NULL);
	ret = ioctl(r.vcpu, PVHOST_RUN, 0);
	check(ret == -1 && errno == EINTR, "a signal ends an endless loop", "%d, errno %d", ret,
	      errno);
	check(r.run->rip == RAW_CODE + 2, "and says where it was", "%lx", (long)r.run->rip);
	interrupts = r.run->interrupts - interrupts;
	exits = r.run->exits - exits;
	check(interrupts && exits == interrupts, "the host's interrupts are told apart",
	      "%lu of %lu", (long)interrupts, (long)exits);
	r.run->immediate_exit = 1;
	ret = ioctl(r.vcpu, PVHOST_RUN, 0);
	check(ret == -1 && errno == EINTR, "immediate_exit does not enter", "%d", ret);
	r.run->immediate_exit = 0;
	r.run->irq_window = 1;
	expect("sti opens the window", RUN(0xfb, 0x90, 0x90, VMCALL), PVHOST_EXIT_IRQ_WINDOW);
	check(r.run->rip == RAW_CODE + 2, "after its shadow", "%lx", (long)r.run->rip);
	r.run->irq_window = 0;
}

static void refused(void)
{
	struct pvhost_region region = {.gpa = 0x300000, .hva = 0x1000, .size = 0x1000};
	struct pvhost_state state;

	check(ioctl(r.vm, PVHOST_ADD_REGION, &region) && errno == EEXIST, "overlapping region",
	      "errno %d", errno);
	region.gpa = 0x1000000;
	region.size = 0x1001;
	check(ioctl(r.vm, PVHOST_ADD_REGION, &region) && errno == EINVAL, "odd size", "errno %d",
	      errno);
	region.size = 0x1000;
	region.hva = 0xffff800000000000;
	check(ioctl(r.vm, PVHOST_ADD_REGION, &region) && errno == EINVAL, "kernel address",
	      "errno %d", errno);
	region.hva = 0x1000;
	region.reserved = 1;
	check(ioctl(r.vm, PVHOST_ADD_REGION, &region) && errno == EINVAL, "reserved field",
	      "errno %d", errno);
	check(ioctl(r.vm, PVHOST_DEL_REGION, &region) && errno == ENOENT, "no such region",
	      "errno %d", errno);
	check(!ioctl(r.vcpu, PVHOST_GET_STATE, &state) && state.cr3 == 0x1000, "get state",
	      "errno %d", errno);
	state.lstar = 0x8000000000000000;
	check(ioctl(r.vcpu, PVHOST_SET_STATE, &state) && errno == EINVAL, "bad LSTAR", "errno %d",
	      errno);
	r.run->inject = 0x80000000 | 7 << 8 | 3;
	check(raw_run(&r) == -EINVAL, "bad event", "accepted");
	r.run->inject = 0;
	r.run->rflags = 0;
	check((unsigned)raw_run(&r) == (0x80000000 | 33), "bad flags fail the entry", "reason %x",
	      r.run->exit_reason);
}

int main(void)
{
	struct pvhost_info info;

	if (raw_open(&r)) {
		printf("not ok /dev/pvhost: %s\n0 passed, 1 failed\n", strerror(errno));
		return 1;
	}
	check(!ioctl(r.vm, PVHOST_INFO, &info) && info.version == PVHOST_VERSION, "version",
	      "errno %d", errno);
	printf("# %u bits of guest-physical address, features %x\n", info.gpa_bits, info.features);
	instructions();
	debug_registers();
	nop();
	interrupted();
	refused();
	memory();
	raw_close(&r);
	return finish();
}
