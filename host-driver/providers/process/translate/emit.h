/* SPDX-License-Identifier: MIT */
/*
 * Host instructions, byte by byte (Intel SDM vol. 2, 2.1). Registers have the numbers of their
 * encoding: RAX 0 ... RSP 4 ... R15 15.
 */
#ifndef PAVANE_EMIT_H
#define PAVANE_EMIT_H

#include <stdint.h>

#include "host-driver/providers/process/translate/translate.h"

#define RCX 1
#define RSP 4
#define RBP 5
#define R14 14
#define R15 15

#define SEG_FS 0x64
#define SEG_GS 0x65

/* Where code is written, and the distance from there to where it runs. */
struct emit {
	uint8_t *p;
	int64_t run; /* add it to a written address: the one it executes at */
};

static inline uint8_t *emit_here(const struct emit *e)
{
	return e->p + e->run;
}

static inline void e8(struct emit *e, unsigned byte)
{
	*e->p++ = byte;
}

static inline void e32(struct emit *e, uint32_t val)
{
	__builtin_memcpy(e->p, &val, 4);
	e->p += 4;
}

static inline void e64(struct emit *e, uint64_t val)
{
	__builtin_memcpy(e->p, &val, 8);
	e->p += 8;
}

/* REX with W, for reg and a base (and no index). */
static inline void emit_rex(struct emit *e, unsigned reg, unsigned base)
{
	e8(e, 0x48 | (reg >> 3) << 2 | base >> 3);
}

/* `op reg, seg:[disp]`, 64 bits; op of one byte. */
static inline void emit_abs(struct emit *e, unsigned seg, unsigned op, unsigned reg, int32_t disp)
{
	e8(e, seg);
	emit_rex(e, reg, 0);
	e8(e, op);
	e8(e, (reg & 7) << 3 | 4);
	e8(e, 0x25);
	e32(e, disp);
}

/* `op reg, [base + disp]` behind its prefixes. */
static inline void emit_op_base(struct emit *e, unsigned op, unsigned reg, unsigned base,
				int32_t disp)
{
	const unsigned mod = !disp && (base & 7) != RBP ? 0 : disp == (int8_t)disp ? 1 : 2;

	e8(e, op);
	e8(e, mod << 6 | (reg & 7) << 3 | (base & 7));
	if ((base & 7) == RSP)
		e8(e, 0x24);
	if (mod == 1)
		e8(e, disp);
	else if (mod == 2)
		e32(e, disp);
}

/* With a segment (0: none), 64 bits. */
static inline void emit_base(struct emit *e, unsigned seg, unsigned op, unsigned reg, unsigned base,
			     int32_t disp)
{
	if (seg)
		e8(e, seg);
	emit_rex(e, reg, base);
	emit_op_base(e, op, reg, base, disp);
}

/* 32 bits: a lea's sum is cut off there. */
static inline void emit_base32(struct emit *e, unsigned op, unsigned reg, unsigned base,
			       int32_t disp)
{
	e8(e, 0x40 | (reg >> 3) << 2 | base >> 3);
	emit_op_base(e, op, reg, base, disp);
}

#define OP_LOAD	 0x8b
#define OP_STORE 0x89
#define OP_LEA	 0x8d
#define OP_ADD	 0x03
#define OP_AND	 0x23

/* The thread's slot `offset` (T_*): to and from a register. */
int32_t emit_slot(int offset);
static inline void emit_load_slot(struct emit *e, unsigned reg, int offset)
{
	emit_abs(e, SEG_FS, OP_LOAD, reg, emit_slot(offset));
}
static inline void emit_store_slot(struct emit *e, int offset, unsigned reg)
{
	emit_abs(e, SEG_FS, OP_STORE, reg, emit_slot(offset));
}

/* mov dst, src */
static inline void emit_mov(struct emit *e, unsigned dst, unsigned src)
{
	emit_rex(e, dst, src);
	e8(e, OP_LOAD);
	e8(e, 0xc0 | (dst & 7) << 3 | (src & 7));
}

/* mov dst, src, 32 bits: the upper half is cleared */
static inline void emit_mov32(struct emit *e, unsigned dst, unsigned src)
{
	e8(e, 0x40 | (dst >> 3) << 2 | src >> 3);
	e8(e, OP_LOAD);
	e8(e, 0xc0 | (dst & 7) << 3 | (src & 7));
}

/* mov dst, constant */
static inline void emit_const(struct emit *e, unsigned dst, uint64_t val)
{
	if (val <= UINT32_MAX) {
		if (dst >= 8)
			e8(e, 0x41);
		e8(e, 0xb8 | (dst & 7));
		e32(e, val);
	} else if ((int64_t)val == (int32_t)val) {
		emit_rex(e, 0, dst);
		e8(e, 0xc7);
		e8(e, 0xc0 | (dst & 7));
		e32(e, val);
	} else {
		emit_rex(e, 0, dst);
		e8(e, 0xb8 | (dst & 7));
		e64(e, val);
	}
}

/* lea dst, [base + index] */
static inline void emit_lea2(struct emit *e, unsigned dst, unsigned base, unsigned index)
{
	e8(e, 0x48 | (dst >> 3) << 2 | (index >> 3) << 1 | base >> 3);
	e8(e, OP_LEA);
	e8(e, 0x44 | (dst & 7) << 3);
	e8(e, (index & 7) << 3 | (base & 7));
	e8(e, 0);
}

/* lea dst, [base + index << scale] */
static inline void emit_lea_scaled(struct emit *e, unsigned dst, unsigned base, unsigned index,
				   unsigned scale)
{
	e8(e, 0x48 | (dst >> 3) << 2 | (index >> 3) << 1 | base >> 3);
	e8(e, OP_LEA);
	e8(e, 0x44 | (dst & 7) << 3);
	e8(e, scale << 6 | (index & 7) << 3 | (base & 7));
	e8(e, 0);
}

/* movsxd dst, src: the low half, with its sign */
static inline void emit_movsxd(struct emit *e, unsigned dst, unsigned src)
{
	emit_rex(e, dst, src);
	e8(e, 0x63);
	e8(e, 0xc0 | (dst & 7) << 3 | (src & 7));
}

/* pext dst, src, fs:[slot]: the bits of src that the constant there selects. Flags stay. */
static inline void emit_pext(struct emit *e, unsigned dst, unsigned src, int offset)
{
	e8(e, SEG_FS);
	e8(e, 0xc4);
	e8(e, (dst >= 8 ? 0 : 0x80) | 0x40 | 0x20 | 2);
	e8(e, 0x80 | (~src & 15) << 3 | 2);
	e8(e, 0xf5);
	e8(e, (dst & 7) << 3 | 4);
	e8(e, 0x25);
	e32(e, emit_slot(offset));
}

/* pdep dst, src, fs:[slot]: the low bits of src to where the constant there has them. */
static inline void emit_pdep(struct emit *e, unsigned dst, unsigned src, int offset)
{
	uint8_t *from = e->p;

	emit_pext(e, dst, src, offset);
	from[3] |= 1; /* vvvv.0.pp: F2, where pext has F3 */
}

/* sarx dst, src, count: flags stay. */
static inline void emit_sarx(struct emit *e, unsigned dst, unsigned src, unsigned count)
{
	e8(e, 0xc4);
	e8(e, (dst >= 8 ? 0 : 0x80) | 0x40 | (src >= 8 ? 0 : 0x20) | 2);
	e8(e, 0x80 | (~count & 15) << 3 | 2);
	e8(e, 0xf7);
	e8(e, 0xc0 | (dst & 7) << 3 | (src & 7));
}

/* rorx dst, src, by: of 32 bits; dst and src of r8 to r15. */
static inline void emit_rorx32(struct emit *e, unsigned dst, unsigned src, unsigned by)
{
	e8(e, 0xc4);
	e8(e, 0x43);
	e8(e, 0x7b);
	e8(e, 0xf0);
	e8(e, 0xc0 | (dst & 7) << 3 | (src & 7));
	e8(e, by);
}

/* rorx reg, reg, by: flags stay. Of r8 to r15. */
static inline void emit_rotate(struct emit *e, unsigned reg, unsigned by)
{
	e8(e, 0xc4);
	e8(e, 0x43);
	e8(e, 0xfb);
	e8(e, 0xf0);
	e8(e, 0xc0 | (reg & 7) << 3 | (reg & 7));
	e8(e, by);
}

/* jmp target */
static inline void emit_jump(struct emit *e, const void *target)
{
	e8(e, 0xe9);
	e32(e, (const uint8_t *)target - (emit_here(e) + 4));
}

/*
 * Bytes that do nothing, so that what comes `ahead` bytes from here is a word to be changed while
 * others run it: one that lies in one aligned 8 bytes is stored as a whole.
 */
static inline void emit_pad(struct emit *e, unsigned ahead)
{
	static const uint8_t nop[4][3] = {{0}, {0x90}, {0x66, 0x90}, {0x0f, 0x1f, 0x00}};
	const unsigned in = ((uintptr_t)e->p + ahead) & 7, count = in > 4 ? 8 - in : 0;

	for (unsigned i = 0; i < count; i++)
		e8(e, nop[count][i]);
}

/* Of such a word. */
static inline void word_store(uint8_t *at, uint32_t val)
{
	asm volatile("movl %1, %0" : "=m"(*(uint8_t(*)[4])at) : "r"(val) : "memory");
}

/*
 * movzx ecx, byte gs:[C_PAGES]: of page number 0, and returns where that is written, a word that
 * can be changed. In a window GS is not the context's: mov r15, fs:[ibtc]; movzx ecx, byte [r15 +
 * its distance], with the same word.
 */
static inline uint8_t *emit_guard(struct emit *e, bool window)
{
	if (window) {
		emit_load_slot(e, R15, T_CONTEXT);
		emit_pad(e, 4);
		e8(e, 0x41);
		e8(e, 0x0f);
		e8(e, 0xb6);
		e8(e, 0x8f);
		e32(e, C_PAGES);
		return e->p - 4;
	}
	emit_pad(e, 5);
	e8(e, SEG_GS);
	e8(e, 0x0f);
	e8(e, 0xb6);
	e8(e, 0x0c);
	e8(e, 0x25);
	e32(e, C_PAGES);
	return e->p - 4;
}

/*
 * A jump (cc: jcc by condition 0..15; -1: always) that is to be changed while others run it: its
 * distance is a word that can be changed (emit_pad). Returns where that is written.
 */
static inline uint8_t *emit_link(struct emit *e, int cc, const void *target)
{
	const unsigned opcode = cc < 0 ? 1 : 2;
	uint8_t *at;

	emit_pad(e, opcode);
	if (cc >= 0) {
		e8(e, 0x0f);
		e8(e, 0x80 | cc);
	} else {
		e8(e, 0xe9);
	}
	at = e->p;
	e32(e, (const uint8_t *)target - (emit_here(e) + 4));
	return at;
}

static inline void link_set(uint8_t *at, int64_t run, const void *target)
{
	word_store(at, (const uint8_t *)target - (at + run + 4));
}

#endif
