/* SPDX-License-Identifier: MIT */
/*
 * GDB's remote serial protocol (the GDB manual's appendix of that name), the stub's side. It knows
 * bytes, packets and a target that carries out; sockets and domains are gdb.c's and gdb_domain.c's.
 * Everything that comes from gdb is untrusted input.
 */
#ifndef PAVANE_RSP_H
#define PAVANE_RSP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RSP_PACKET  16384 /* bytes of a packet's text, either way */
#define RSP_THREADS 32

/* gdb's own numbers */
enum { RSP_SIGINT = 2, RSP_SIGTRAP = 5, RSP_SIGABRT = 6, RSP_SIGSEGV = 11 };

/* What a thread has, as gdb sees it. */
struct rsp_regs {
	uint64_t gpr[16]; /* rax rbx rcx rdx rsi rdi rbp rsp r8..r15 */
	uint64_t rip, rflags;
	uint64_t seg[6]; /* cs ss ds es fs gs */
	uint64_t fs_base, gs_base, k_gs_base;
	uint64_t cr2, cr3; /* to read only */
	bool vectors;	   /* what follows is known */
	uint8_t st[8][10], xmm[16][16];
	uint32_t fctrl, fstat, ftag, fiseg, fioff, foseg, fooff, fop, mxcsr;
};

enum rsp_action { RSP_STAY, RSP_CONTINUE, RSP_STEP };

/* z and Z packets */
enum rsp_point { RSP_SOFTWARE, RSP_HARDWARE, RSP_WRITE, RSP_READ, RSP_ACCESS };

/* Why everything stands still; or that there is nothing left. */
struct rsp_stop {
	enum { RSP_SIGNALLED, RSP_SWBREAK, RSP_POINT, RSP_EXITED, RSP_KILLED } why;
	unsigned thread; /* 1 and up */
	uint8_t value;	 /* signal, or exit status */
	/* RSP_POINT: the one that was met, not RSP_SOFTWARE */
	enum rsp_point point;
	uint64_t va;
};

/* Threads have the numbers 1 to `threads`; all calls but alive() are about those that are alive. */
struct rsp_target {
	unsigned threads;
	bool (*alive)(void *ctx, unsigned thread);
	/* One line about a thread. */
	void (*describe)(void *ctx, unsigned thread, char *buf, size_t size);
	bool (*regs_read)(void *ctx, unsigned thread, struct rsp_regs *r);
	bool (*regs_write)(void *ctx, unsigned thread, const struct rsp_regs *r);
	/* How many bytes there are; memory is as the guest has it, without breakpoints. */
	size_t (*memory_read)(void *ctx, unsigned thread, uint64_t va, void *buf, size_t n);
	size_t (*memory_write)(void *ctx, unsigned thread, uint64_t va, const void *buf, size_t n);
	/* `n` bytes, 1 of RSP_HARDWARE. 0 or an errno value; ENOSYS: no such kind. */
	int (*point)(void *ctx, unsigned thread, enum rsp_point kind, uint64_t va, uint64_t n,
		     bool set);
	/* By thread number; rsp_stopped() is called when all stand still again. False: it failed.
	 */
	bool (*resume)(void *ctx, const enum rsp_action action[RSP_THREADS + 1]);
	/* Have everything stop, and rsp_stopped() called. */
	void (*interrupt)(void *ctx);
	void (*detach)(void *ctx);
	void (*kill)(void *ctx);
	/* To gdb. */
	void (*send)(void *ctx, const void *bytes, size_t n);
};

struct rsp {
	const struct rsp_target *target;
	void *ctx;
	bool running; /* gdb waits for a stop */
	bool ended;   /* detached, killed, or the domain is gone */
	bool no_ack, swbreak, hwbreak;
	unsigned thread; /* of g, m and the like */
	struct rsp_stop stop;
	unsigned next_thread; /* qsThreadInfo */

	/* input: a packet's raw text */
	enum { RSP_OUTSIDE, RSP_INSIDE, RSP_SUM1, RSP_SUM2 } state;
	uint8_t in[RSP_PACKET + 1];
	size_t in_len;
	bool in_long; /* too long to be one of ours */
	uint8_t sum;
	uint16_t said; /* more than a byte: no number */

	/* output: '$', text, '#', checksum */
	char out[RSP_PACKET + 8];
	size_t out_len;
};

/* Everything stands still; `stop` is what gdb is told when it asks why. */
void rsp_init(struct rsp *r, const struct rsp_target *t, void *ctx, struct rsp_stop stop);
/* Bytes from gdb, in any pieces. */
void rsp_input(struct rsp *r, const uint8_t *bytes, size_t n);
/* What resume() began is over. */
void rsp_stopped(struct rsp *r, struct rsp_stop stop);

/* rsp.c, for the files of the protocol */
void rsp_begin(struct rsp *r); /* a reply, of put calls, is sent when the packet has been handled */
void rsp_put(struct rsp *r, const char *text);
void rsp_printf(struct rsp *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void rsp_put_hex(struct rsp *r, const void *bytes, size_t n);
void rsp_put_binary(struct rsp *r, const void *bytes, size_t n); /* with its escapes */
void rsp_end(struct rsp *r);

/* rsp_command.c: one packet's text, which ends with a 0 that is not counted. */
void rsp_command(struct rsp *r, char *text, size_t n);
void rsp_put_stop(struct rsp *r);

/* rsp_text.c: what is in a packet. They move *p on, to the end at most. */
bool rsp_hex(const char **p, uint64_t *value);			/* 1 to 16 digits */
size_t rsp_hex_bytes(const char *p, uint8_t *out, size_t size); /* pairs, up to what is none */
bool rsp_skip(const char **p, char c);

/* rsp_regs.c */
unsigned rsp_regs_count(void);
/* Hex of register i, x's if it is not known; and back: false if it cannot be changed. */
void rsp_put_reg(struct rsp *r, const struct rsp_regs *regs, unsigned i);
bool rsp_set_reg(struct rsp_regs *regs, unsigned i, const char **hex);
size_t rsp_target_xml(char *buf, size_t size);

#endif
