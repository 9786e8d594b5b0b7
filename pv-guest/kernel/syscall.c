/* SPDX-License-Identifier: MIT */
/* System calls: a table, and what each makes of its arguments. */
#include <pv/process.h>
#include <pv/time.h>
#include "kernel.h"

#define NAME_MAX  96
#define ARGS_MAX  8
#define ARG_BYTES 256

static struct file *file_of(uint64_t fd)
{
	return fd < FILES ? process_current()->files[fd] : NULL;
}

static long fd_for(struct file *f)
{
	struct process *p = process_current();

	for (int fd = 0; f && fd < FILES; fd++) {
		if (p->files[fd])
			continue;
		p->files[fd] = f;
		return fd;
	}
	if (f)
		file_close(f);
	return -XEN_EMFILE;
}

static long sys_exit(struct trap_regs *r)
{
	process_exit((int)r->rdi);
}

static long sys_fork(struct trap_regs *r)
{
	return process_fork(r);
}

static long sys_exec(struct trap_regs *r)
{
	char name[NAME_MAX], bytes[ARG_BYTES], *argv[ARGS_MAX + 1];
	size_t used = 0;
	int argc = 0;
	long rc = copy_string(name, r->rdi, sizeof(name));

	for (; rc >= 0; argc++) {
		unsigned long arg;

		rc = copy_from_user(&arg, r->rsi + (unsigned int)argc * sizeof(arg), sizeof(arg));
		if (rc || !arg)
			break;
		if (argc == ARGS_MAX)
			return -XEN_E2BIG;
		argv[argc] = bytes + used;
		rc = copy_string(argv[argc], arg, sizeof(bytes) - used);
		used += rc < 0 ? 0 : (size_t)rc + 1;
	}
	if (rc >= 0)
		rc = process_exec(name, argc, argv, r);
	return rc;
}

static long sys_wait(struct trap_regs *r)
{
	int status = 0;
	long pid = process_wait(-1, &status);

	if (pid > 0 && r->rdi && copy_to_user(r->rdi, &status, sizeof(status)))
		return -XEN_EFAULT;
	return pid;
}

static long sys_pipe(struct trap_regs *r)
{
	struct process *p = process_current();
	struct file *ends[2];
	int fds[2];

	if (!file_pipe(ends))
		return -XEN_EMFILE;
	fds[0] = (int)fd_for(ends[0]);
	fds[1] = (int)fd_for(ends[1]);
	if (fds[1] >= 0 && !copy_to_user(r->rdi, fds, sizeof(fds)))
		return 0;
	for (unsigned int i = 0; i < 2; i++) {
		if (fds[i] < 0)
			continue;
		file_close(p->files[fds[i]]);
		p->files[fds[i]] = NULL;
	}
	return fds[1] < 0 ? -XEN_EMFILE : -XEN_EFAULT;
}

static long sys_read(struct trap_regs *r)
{
	struct file *f = file_of(r->rdi);

	return f ? file_read(f, r->rsi, r->rdx) : -XEN_EBADF;
}

static long sys_write(struct trap_regs *r)
{
	struct file *f = file_of(r->rdi);

	return f ? file_write(f, r->rsi, r->rdx) : -XEN_EBADF;
}

static long sys_open(struct trap_regs *r)
{
	char name[NAME_MAX];
	struct file *f;
	long rc = copy_string(name, r->rdi, sizeof(name));

	if (rc < 0)
		return rc;
	f = file_open(name, &rc);
	return f ? fd_for(f) : rc;
}

static long sys_close(struct trap_regs *r)
{
	struct file *f = file_of(r->rdi);

	if (!f)
		return -XEN_EBADF;
	process_current()->files[r->rdi] = NULL;
	file_close(f);
	return 0;
}

static long sys_dup(struct trap_regs *r)
{
	struct file *f = file_of(r->rdi);

	return f ? fd_for(file_share(f)) : -XEN_EBADF;
}

static long sys_getpid(struct trap_regs *r)
{
	return process_current()->pid;
}

static long sys_sleep(struct trap_regs *r)
{
	thread_sleep(r->rdi);
	return process_interrupted() ? -XEN_EINTR : 0;
}

static long sys_yield(struct trap_regs *r)
{
	thread_yield();
	return 0;
}

static long sys_sbrk(struct trap_regs *r)
{
	return space_sbrk(process_current()->space, (long)r->rdi);
}

static long sys_kill(struct trap_regs *r)
{
	if (!r->rsi || r->rsi > 63)
		return -XEN_EINVAL;
	return process_kill((int)r->rdi, (unsigned int)r->rsi);
}

static long sys_signal(struct trap_regs *r)
{
	struct process *p = process_current();

	if (r->rdi && (!is_user(r->rdi, 1) || !is_user(r->rsi, 1)))
		return -XEN_EFAULT;
	p->handler = r->rdi;
	p->restorer = r->rsi;
	return 0;
}

static long sys_clock(struct trap_regs *r)
{
	return (long)time_ns();
}

static long sys_vcpu(struct trap_regs *r)
{
	return this_cpu->id;
}

static long sys_vcpus(struct trap_regs *r)
{
	return nr_vcpus;
}

static long (*const calls[SYS_COUNT])(struct trap_regs *r) = {
	[SYS_exit] = sys_exit,	   [SYS_fork] = sys_fork,	    [SYS_exec] = sys_exec,
	[SYS_wait] = sys_wait,	   [SYS_pipe] = sys_pipe,	    [SYS_read] = sys_read,
	[SYS_write] = sys_write,   [SYS_open] = sys_open,	    [SYS_close] = sys_close,
	[SYS_dup] = sys_dup,	   [SYS_getpid] = sys_getpid,	    [SYS_sleep] = sys_sleep,
	[SYS_yield] = sys_yield,   [SYS_sbrk] = sys_sbrk,	    [SYS_kill] = sys_kill,
	[SYS_signal] = sys_signal, [SYS_sigreturn] = signal_return, [SYS_clock] = sys_clock,
	[SYS_vcpu] = sys_vcpu,	   [SYS_vcpus] = sys_vcpus,
};

void syscall_dispatch(struct trap_regs *regs)
{
	regs->rax = (uint64_t)(regs->rax < SYS_COUNT ? calls[regs->rax](regs) : -XEN_ENOSYS);
	process_leave_kernel(regs);
}
