/* SPDX-License-Identifier: MIT */
/* Processes: a thread each, with user code, an address space and files. */
#ifndef PV_PROCESS_H
#define PV_PROCESS_H

#include <pv/arch.h>
#include <pv/file.h>
#include <pv/space.h>
#include <pv/thread.h>

#define FILES 8

enum process_state { PROCESS_FREE, PROCESS_ALIVE, PROCESS_ZOMBIE };

struct process {
	enum process_state state;
	int pid, status;
	struct process *parent; /* NULL: a thread of the kernel waits for it */
	bool orphan;		/* nobody does */
	struct thread *thread;
	struct space *space;
	struct trap_regs start; /* what it begins with */
	uint64_t signals;	/* that wait */
	unsigned long handler, restorer;
	bool handling;
	struct file *files[FILES];
	char name[16];
	uint8_t fpu[512] __attribute__((aligned(16)));
};

/* Whether guest user mode exists here; NULL if so, otherwise why not. */
const char *process_missing(void);
void process_init(void);
/* Of each vCPU. */
void process_init_vcpu(void);
/* The process of the current thread, or NULL. */
struct process *process_current(void);

/* Starts a program of the ramdisk on the console; the pid or -errno. */
long process_spawn(int argc, char **argv);
/* For any child, or of the kernel for one; the pid or -errno. */
long process_wait(int pid, int *status);
long process_fork(const struct trap_regs *regs);
/* Replaces the current one's memory and registers. */
long process_exec(const char *name, int argc, char **argv, struct trap_regs *regs);
void process_exit(int status) __attribute__((noreturn));
long process_kill(int pid, unsigned int sig);
bool process_interrupted(void);

/* signal.c */
void process_leave_kernel(struct trap_regs *regs);
long signal_return(struct trap_regs *regs);

/* thread.c: its registers and roots, when the thread that runs changes. */
void process_switch(struct thread *from, struct thread *to);

/* elf.c: a new space with the program and its arguments; where to start. */
long elf_load(struct space **space, const char *name, int argc, char **argv,
	      struct trap_regs *regs);

/* usercopy.S, trap.c: 0, or -EFAULT if the user has no such memory. */
long copy_from_user(void *dst, unsigned long src, size_t n);
long copy_to_user(unsigned long dst, const void *src, size_t n);
/* A string with its end; -EFAULT, or -E2BIG if it does not fit. */
long copy_string(char *dst, unsigned long src, size_t size);
void user_traps_init(void);

/* syscall.c */
void syscall_dispatch(struct trap_regs *regs);

#endif
