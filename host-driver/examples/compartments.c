/* SPDX-License-Identifier: MIT */
/*
 * Privilege separation inside one process: a server whose parser reads what strangers send, and
 * whose keeper has the key that answers are signed with. A stranger who takes the parser over
 * must not get the key.
 *
 * Each compartment is C code in ring 3 under page tables of its own, where nothing is for ring 3
 * but its own data, a page that both have, and the program's text, which is no secret. Between
 * them is ring 0. A compartment calls another through a gate: a system call that names an entry
 * point of ours. The gate changes page tables, stack and registers; a callee that faults is a
 * call that fails.
 */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

#include "host-driver/libpavane/pavane.h"
#include "tests/pvhost/check.h"

#define PAGE   4096
#define FAILED (~0ul)
#define CALLS  100 /* to measure */

/* --- in ring 3 --- */

enum { PARSER, KEEPER, COMPARTMENTS };

static struct own {
	uint64_t key, table[15];
	uint64_t stack[1024 - 16];
} own[COMPARTMENTS] __attribute__((aligned(PAGE)));

static struct request {
	uint64_t op, value;
} shared[PAGE / sizeof(struct request)] __attribute__((aligned(PAGE)));

enum { SIGN, LOOK_UP, PLUGIN, GATE, SIGN_MINE, SIGN_OFTEN }; /* ops */
enum { GATE_RETURN, GATE_SIGN, GATES };

/* No libc, no constants, no vector registers: their data is not for ring 3, or not only ours. */
#define RING3                                                 \
	__attribute__((noinline, target("general-regs-only"), \
		       optimize("no-jump-tables", "no-tree-loop-distribute-patterns")))

RING3 static uint64_t gate(uint64_t to, const void *data, uint64_t size)
{
	__asm__ volatile("syscall" : "+a"(to) : "D"(data), "S"(size) : "rcx", "r11", "memory");
	return to;
}

/* Where a compartment's entry point returns to. */
__attribute__((naked)) static void gate_return(void)
{
	__asm__("mov %rax, %rdi; xor %eax, %eax; syscall");
}

RING3 static uint64_t mac(uint64_t key, const uint8_t *data, uint64_t size)
{
	for (uint64_t i = 0; i < size; i++)
		key = (key ^ data[i]) * 0x100000001b3;
	return key;
}

/* The keeper's only entry point. */
RING3 static uint64_t sign(uint64_t data, uint64_t size)
{
	const uint64_t mine = (uint64_t)&own[KEEPER];

	/* What may be read is for the page tables to say, except that here they let us read our
	 * own. */
	if (size > PAGE || (data + size > mine && data < mine + sizeof(own[0])))
		return FAILED;
	return mac(own[KEEPER].key, (const uint8_t *)data, size);
}

/* The parser, with the bugs that parsers have. */
RING3 static uint64_t parse(uint64_t unused, uint64_t unused2)
{
	const struct request *q = shared;
	uint64_t sum = 0;

	if (q->op == SIGN)
		return gate(GATE_SIGN, q, q->value);
	if (q->op == LOOK_UP)
		return own[PARSER].table[q->value]; /* bug: any address */
	if (q->op == PLUGIN)
		return ((uint64_t(*)(uint64_t, uint64_t))q->value)((uint64_t)q,
								   16); /* bug: any code */
	if (q->op == GATE)
		return gate(q->value, q, 16);
	if (q->op == SIGN_MINE)
		return gate(GATE_SIGN, own[PARSER].table, 16) == FAILED ? 1 : 2;
	for (int i = 0; i < CALLS; i++)
		sum += gate(GATE_SIGN, q, 16);
	return sum;
}

/* --- in ring 0 --- */

static const struct {
	int compartment;
	uint64_t (*entry)(uint64_t, uint64_t);
} gates[GATES] = {[GATE_SIGN] = {KEEPER, sign}};

static struct pv_root *roots[COMPARTMENTS];
static bool busy[COMPARTMENTS]; /* it has one stack */
static bool faulted;
static unsigned faults;
static uint64_t fault_at;

static uint64_t enter(int c, uint64_t (*entry)(uint64_t, uint64_t), uint64_t a, uint64_t b)
{
	struct pv_root *from = pv_root_current();
	uint64_t *top = &own[c].stack[sizeof(own[c].stack) / 8 - 1];
	/* All other registers zero: nothing of the caller's comes along. */
	struct pv_frame r = {.rip = (uint64_t)entry, .rsp = (uint64_t)top, .rdi = a, .rsi = b};
	bool failed;

	if (busy[c])
		return FAILED;
	busy[c] = true;
	*top = (uint64_t)gate_return;
	pv_root_switch(roots[c]);
	pv_user_run(&r);
	pv_root_switch(from);
	busy[c] = false;
	failed = faulted;
	faulted = false;
	return failed ? FAILED : r.rdi;
}

static void on_gate(struct pv_frame *f)
{
	if (f->rax == GATE_RETURN)
		pv_user_stop();
	else if (f->rax < GATES)
		f->rax = enter(gates[f->rax].compartment, gates[f->rax].entry, f->rdi, f->rsi);
	else
		f->rax = FAILED;
}

static void on_fault(struct pv_frame *f)
{
	if (!pv_from_user(f)) { /* ours: the library reports it */
		pv_on(f->vector, NULL, 0);
		return;
	}
	faults++;
	faulted = true;
	fault_at = pv_fault_address();
	printf("the %s faults at %#lx\n", pv_root_current() == roots[PARSER] ? "parser" : "keeper",
	       fault_at);
	pv_user_stop();
}

static bool compartment_make(int c)
{
	extern uint8_t __executable_start[], etext[];
	uint8_t *text = (uint8_t *)((uintptr_t)__executable_start & -PAGE);
	const size_t text_size = ((uintptr_t)etext - (uintptr_t)text + PAGE - 1) & -PAGE;
	struct pv_root *root = pv_root_new();

	roots[c] = root;
	return root && !pv_protect(root, text, text_size, PV_READ | PV_EXEC | PV_USER) &&
	       !pv_protect(root, &own[c], sizeof(own[c]), PV_READ | PV_WRITE | PV_USER) &&
	       !pv_protect(root, shared, PAGE, PV_READ | PV_WRITE | PV_USER);
}

/* A stranger's request. */
static uint64_t ask(uint64_t op, uint64_t value)
{
	faults = fault_at = 0;
	*shared = (struct request){op, value};
	return enter(PARSER, parse, 0, 0);
}

/* What the same costs with the keeper in a process of its own. */
static uint64_t pipe_calls(void)
{
	int to[2], from[2];
	char byte = 0;
	uint64_t start;
	pid_t pid;

	if (pipe(to) || pipe(from))
		return 0;
	pid = fork();
	if (!pid) {
		close(to[1]);
		while (read(to[0], &byte, 1) == 1 && write(from[1], &byte, 1) == 1)
			;
		_exit(0);
	}
	start = __rdtsc();
	for (int i = 0; i < CALLS; i++)
		if (write(to[1], &byte, 1) != 1 || read(from[0], &byte, 1) != 1)
			break;
	start = __rdtsc() - start;
	close(to[1]);
	waitpid(pid, NULL, 0);
	return start / CALLS;
}

int main(void)
{
	const uint64_t by_pipe = pipe_calls(), key = 0x5ec2e75ec2e7;
	const size_t to_key = (&own[KEEPER].key - own[PARSER].table);
	uint64_t got, want, by_gate;
	const int ret = pv_enter();

	check(!ret, "enter", "%s", strerror(-ret));
	if (ret)
		return finish();
	own[KEEPER].key = key;
	own[PARSER].table[3] = 33;
	check(compartment_make(PARSER) && compartment_make(KEEPER), "two compartments",
	      "no memory");
	for (unsigned v = 0; v < 32; v++)
		pv_on(v, on_fault, 0);
	pv_on(PV_SYSCALL, on_gate, 0);

	got = ask(SIGN, 16);
	want = mac(key, (uint8_t *)shared, 16);
	check(got == want && !faults, "the keeper signs for the parser", "%lx, %lx", got, want);
	got = ask(LOOK_UP, 3);
	check(got == 33 && !faults, "a compartment has its own memory", "%lu", got);
	got = ask(LOOK_UP, to_key);
	check(got == FAILED && faults == 1 && fault_at == (uint64_t)&own[KEEPER].key,
	      "the parser cannot read the key", "%lx, %u faults", got, faults);
	got = ask(PLUGIN, (uint64_t)sign);
	check(got == FAILED && faults == 1 && fault_at == (uint64_t)&own[KEEPER].key,
	      "not even by the keeper's code", "%lx, %u faults", got, faults);
	got = ask(LOOK_UP, (uint64_t *)&roots[KEEPER] - own[PARSER].table);
	check(got == FAILED && faults == 1 && fault_at == (uint64_t)&roots[KEEPER],
	      "nor read what ring 0 has", "%lx, %u faults", got, faults);
	got = ask(SIGN_MINE, 0);
	check(got == 1 && faults == 1 && fault_at == (uint64_t)own[PARSER].table,
	      "the keeper cannot read the parser's memory; the call fails and the parser goes on",
	      "%lx, %u faults", got, faults);
	got = ask(GATE, GATES);
	check(got == FAILED && !faults, "there is no other gate", "%lx", got);
	got = ask(SIGN, 16);
	check(got == mac(key, (uint8_t *)shared, 16), "after all that, the keeper signs", "%lx",
	      got);

	by_gate = __rdtsc();
	ask(SIGN_OFTEN, 0);
	by_gate = (__rdtsc() - by_gate) / CALLS;
	printf("a call through the gate: %lu, through pipes to another process: %lu\n", by_gate,
	       by_pipe);
	check(by_gate * 5 < by_pipe, "a gate costs less than a fifth of a pipe", "%lu, %lu",
	      by_gate, by_pipe);
	return finish();
}
