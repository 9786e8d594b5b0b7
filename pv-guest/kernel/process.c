/* SPDX-License-Identifier: MIT */
/*
 * Processes: how they begin, end, and are waited for. One lock guards the table and what parents
 * and children know of each other; what else a process has is its own thread's alone.
 */
#include <pv/fs.h>
#include <pv/process.h>
#include "kernel.h"

#define PROCESSES 48

static struct lock table;
static struct process processes[PROCESSES];

struct process *process_current(void)
{
	return thread_current()->process;
}

static void fpu_save(struct process *p)
{
	__asm__ volatile("fxsave64 %0" : "=m"(p->fpu));
}

static void fpu_load(const struct process *p)
{
	__asm__ volatile("fxrstor64 %0" ::"m"(p->fpu));
}

/* What the processor has after a reset: all exceptions masked. */
static void fpu_clear(struct process *p)
{
	memset(p->fpu, 0, sizeof(p->fpu));
	p->fpu[0] = 0x7f;
	p->fpu[1] = 0x03;
	p->fpu[24] = 0x80;
	p->fpu[25] = 0x1f;
}

/* The scheduler calls this on the stack of the thread that goes, with all threads locked. */
void process_switch(struct thread *from, struct thread *to)
{
	if (from->process)
		fpu_save(from->process);
	if (to->process) {
		HYPERVISOR_stack_switch(FLAT_KERNEL_SS, thread_stack_top(to));
		fpu_load(to->process);
	}
	space_load(to->process ? to->process->space : NULL);
}

static struct process *create(struct process *parent, const char *name)
{
	static int next_pid = 1;
	bool enabled = lock(&table);
	struct process *p = processes;

	while (p < processes + PROCESSES && p->state != PROCESS_FREE)
		p++;
	if (p == processes + PROCESSES) {
		p = NULL;
	} else {
		memset(p, 0, sizeof(*p));
		p->state = PROCESS_ALIVE;
		p->pid = next_pid++;
		p->parent = parent;
		strlcpy(p->name, name, sizeof(p->name));
	}
	unlock(&table, enabled);
	return p;
}

/* A new thread comes here, on its own stack. */
static void enter_user(void *arg)
{
	struct trap_regs regs = ((struct process *)arg)->start;

	trap_return(&regs);
}

/* Everything else is in place: let it run. The pid, or -errno, and then it is gone. */
static long run(struct process *p)
{
	bool enabled = lock(&table);
	long pid = p->pid;

	p->thread = thread_create_process(p, p->name, enter_user);
	if (!p->thread)
		pid = -XEN_EAGAIN;
	unlock(&table, enabled);
	if (pid > 0)
		return pid;
	for (unsigned int i = 0; i < FILES; i++)
		if (p->files[i])
			file_close(p->files[i]);
	space_destroy(p->space);
	p->state = PROCESS_FREE;
	return pid;
}

long process_spawn(int argc, char **argv)
{
	struct process *p;
	long rc;

	space_init();
	p = create(NULL, argv[0]);
	if (!p)
		return -XEN_EAGAIN;
	rc = elf_load(&p->space, argv[0], argc, argv, &p->start);
	if (rc) {
		p->state = PROCESS_FREE;
		return rc;
	}
	fpu_clear(p);
	for (unsigned int i = 0; i < 3; i++)
		p->files[i] = file_console();
	return run(p);
}

long process_fork(const struct trap_regs *regs)
{
	struct process *parent = process_current(), *p = create(parent, parent->name);

	if (!p)
		return -XEN_EAGAIN;
	p->space = space_fork(parent->space);
	if (!p->space) {
		p->state = PROCESS_FREE;
		return -XEN_ENOMEM;
	}
	p->start = *regs;
	p->start.rax = 0;
	p->handler = parent->handler;
	p->restorer = parent->restorer;
	p->handling = parent->handling;
	fpu_save(p);
	for (unsigned int i = 0; i < FILES; i++)
		p->files[i] = parent->files[i] ? file_share(parent->files[i]) : NULL;
	return run(p);
}

long process_exec(const char *name, int argc, char **argv, struct trap_regs *regs)
{
	struct process *p = process_current();
	struct space *old = p->space, *new;
	struct trap_regs start;
	long rc = elf_load(&new, name, argc, argv, &start);
	bool enabled;

	if (rc)
		return rc;
	enabled = upcalls_save();
	p->space = new;
	space_load(new);
	fpu_clear(p);
	fpu_load(p);
	upcalls_restore(enabled);
	space_destroy(old);
	p->handler = 0;
	p->handling = false;
	strlcpy(p->name, name, sizeof(p->name));
	*regs = start;
	return 0;
}

/* What a dead process leaves behind, when nobody can ask for it any more. */
static void disown_children(struct process *parent)
{
	for (struct process *p = processes; p < processes + PROCESSES; p++) {
		if (p->state == PROCESS_FREE || p->parent != parent)
			continue;
		p->orphan = true;
		p->parent = NULL;
		if (p->state == PROCESS_ZOMBIE)
			p->state = PROCESS_FREE;
	}
}

void process_exit(int status)
{
	struct process *p = process_current();
	struct space *space = p->space;

	for (unsigned int i = 0; i < FILES; i++)
		if (p->files[i])
			file_close(p->files[i]);
	/* From here on the scheduler sees a thread of the kernel. */
	upcalls_disable();
	thread_current()->process = NULL;
	space_load(NULL);
	upcalls_enable();
	space_destroy(space);

	lock(&table);
	disown_children(p);
	p->thread = NULL;
	p->status = status;
	p->state = p->orphan ? PROCESS_FREE : PROCESS_ZOMBIE;
	thread_wake(p->parent ? (void *)p->parent : (void *)processes);
	unlock(&table, false);
	thread_exit();
}

bool process_interrupted(void)
{
	struct process *p = process_current();

	return p && READ_ONCE(p->signals);
}

long process_wait(int pid, int *status)
{
	struct process *self = process_current();
	bool enabled = lock(&table);
	long rc = 0;

	while (!rc) {
		rc = -XEN_ECHILD;
		for (struct process *p = processes; p < processes + PROCESSES && rc <= 0; p++) {
			if (p->state == PROCESS_FREE || p->parent != self || p->orphan ||
			    (pid > 0 && p->pid != pid))
				continue;
			rc = 0;
			if (p->state == PROCESS_ZOMBIE) {
				rc = p->pid;
				*status = p->status;
				p->state = PROCESS_FREE;
			}
		}
		if (!rc && process_interrupted())
			rc = -XEN_EINTR;
		if (!rc)
			thread_wait(self ? (void *)self : (void *)processes, ~0ull, &table);
	}
	unlock(&table, enabled);
	return rc;
}

long process_kill(int pid, unsigned int sig)
{
	bool enabled = lock(&table);
	long rc = -XEN_ESRCH;

	for (struct process *p = processes; p < processes + PROCESSES; p++) {
		if (p->state != PROCESS_ALIVE || p->pid != pid)
			continue;
		__atomic_fetch_or(&p->signals, 1ull << sig, __ATOMIC_SEQ_CST);
		if (p->thread)
			thread_interrupt(p->thread);
		rc = 0;
	}
	unlock(&table, enabled);
	return rc;
}

/* A hypervisor without user mode refuses a user's root; the kernel's own will do for the question.
 */
static bool have_user_mode;

const char *process_missing(void)
{
	if (!have_user_mode)
		return "no guest user mode here";
	return fs_available() ? NULL : "no ramdisk";
}

void process_init_vcpu(void)
{
	if (have_user_mode)
		trap_init_syscall();
}

void process_init(void)
{
	struct mmuext_op op = {
		.cmd = MMUEXT_NEW_USER_BASEPTR,
		.arg1.mfn = va_to_mfn((void *)start_info->pt_base),
	};

	if (HYPERVISOR_mmuext_op(&op, 1, NULL, DOMID_SELF))
		return;
	op.arg1.mfn = 0;
	HYPERVISOR_mmuext_op(&op, 1, NULL, DOMID_SELF);
	have_user_mode = true;
	user_traps_init();
	process_init_vcpu();
}
