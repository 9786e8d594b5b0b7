/* SPDX-License-Identifier: MIT */
/*
 * A sandbox for static programs: they run in ring 3 of this very process, where page tables leave
 * them their own memory and nothing else, and every system call of theirs is ours to judge.
 */
#ifndef SANDBOX_H
#define SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host-driver/libpavane/pavane.h"

/*
 * All memory the program can have. An address is the same for ring 3, for us and for the host's
 * kernel, so a system call's pointer needs a check of bounds and no translation.
 */
#define SANDBOX_START 0x100000ul
#define SANDBOX_END   0x40000000ul

/* memory.c. Addresses and sizes in whole pages; `prot` is PROT_*. 0 or -errno. */
int memory_init(void);
bool memory_inside(uint64_t va, uint64_t size);
int memory_give(uint64_t va, uint64_t size, int prot);
int memory_protect(uint64_t va, uint64_t size, int prot);
int memory_take(uint64_t va, uint64_t size);
uint64_t memory_find(uint64_t size); /* free addresses, or 0 */
/* From the program's memory into ours; how many bytes there were, up to `size`. */
size_t memory_copy(void *to, uint64_t from, size_t size);
/* And back; false: not all of it is there, or not to write. */
bool memory_put(uint64_t to, const void *from, size_t size);

/* elf.c: the program as the kernel would start it, or a message and false. */
bool elf_load(const char *file, char **argv, char **envp, struct pv_frame *regs);
extern uint64_t program_end; /* where brk starts */

/* policy.c */
enum action { OTHERWISE, ALLOW, REFUSE, KILL };
struct verdict {
	enum action action;
	int error; /* of REFUSE */
};
bool policy_read(const char *file);
struct verdict policy_of(int call); /* index into calls; -1: a call that is not there */
/* The file at `path` as openat2 has it, if the policy lets `call` go there; or -errno. */
int policy_open(int call, const char *path, int flags, int mode);

/* calls.c */
struct call {
	const char *name;
	int nr;
	const char *args; /* what may be passed on, a letter for each argument */
	/* Answers the call instead, or NULL. `a` has its arguments, `call` its index. */
	long (*own)(int call, uint64_t *a);
	bool paths; /* names files: the policy says which */
};
#define MAX_CALLS 96
extern const struct call calls[];
extern const int nr_calls;
extern bool calls_trace; /* tell of each */
void calls_init(void);
void on_syscall(struct pv_frame *f);

/* main.c: the program ends here, as a shell would number it. */
void sandbox_end(int status);

#endif
