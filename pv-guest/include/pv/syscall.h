/* SPDX-License-Identifier: MIT */
/*
 * What user programs ask of the kernel. The number goes into rax, arguments into rdi, rsi and rdx;
 * the result, or -errno, comes back in rax; rcx and r11 are lost.
 */
#ifndef PV_SYSCALL_H
#define PV_SYSCALL_H

enum {
	SYS_exit,   /* status */
	SYS_fork,   /* the child's pid, or 0 in the child */
	SYS_exec,   /* name, argv */
	SYS_wait,   /* int *status; the pid */
	SYS_pipe,   /* int fds[2] */
	SYS_read,   /* fd, buffer, size */
	SYS_write,  /* fd, buffer, size */
	SYS_open,   /* name; a file of the ramdisk, to be read */
	SYS_close,  /* fd */
	SYS_dup,    /* fd; the lowest free one */
	SYS_getpid, /* */
	SYS_sleep,  /* nanoseconds */
	SYS_yield,  /* */
	SYS_sbrk,   /* by how many bytes; the old end */
	SYS_kill,   /* pid, signal */
	SYS_signal, /* handler or 0, the address it returns to */
	SYS_sigreturn /* at the end of a handler */,
	SYS_clock, /* nanoseconds of the hypervisor's clock */
	SYS_vcpu,  /* the vCPU this runs on */
	SYS_vcpus, /* how many there are */
	SYS_COUNT
};

/* Everything of a user's lies in the second slot of its L4: the kernel has the first. */
#define USER_BASE	0x8000000000ul
#define USER_END	(USER_BASE + (1ul << 30)) /* one L2 */
#define USER_STACK_SIZE (256ul << 10)

#define SIGKILL 9 /* ends a process whatever it says */
#define SIGSEGV 11
#define SIGTERM 15

/* The status of a process that a signal ended. */
#define STATUS_SIGNAL(sig) (128 + (sig))

#endif
