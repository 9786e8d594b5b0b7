/* SPDX-License-Identifier: MIT */
/*
 * A packet filter that a guest downloads into its network backend. Only frames that the filter
 * accepts reach the guest: the others cost it nothing, not even an event.
 *
 * The program is classic BPF, in the layout of Linux's struct sock_filter. It sees each frame from
 * its Ethernet header on. Its result is 0 to drop the frame; anything else, to receive all of it.
 * The host's kernel verifies the program and compiles it.
 *
 * Where the backend has feature-filter = 1 in its directory, the frontend (connected, or before):
 *  1. writes the program to 1 to 8 of its pages, in order, and grants them to the backend
 *  2. writes to its own directory filter-ref, the grant references in decimal, separated by a
 *     space; filter-len, the number of instructions (0: remove the filter, filter-ref is not
 *     looked at); and then filter-gen, a number that is not 0 and that it did not use before
 *  3. waits until filter-status in the backend's directory begins with that number: then come
 *     " ok", or " refused: " and why. It may take the grants back now: the program was copied.
 * A program that was refused leaves the earlier one in force. A filter ends with the connection: a
 * frontend that connects anew offers its program again, or removes filter-gen before.
 */
#ifndef PAVANE_NETFILTER_H
#define PAVANE_NETFILTER_H

#include <stdint.h>

#define PAVANE_FILTER_MAX_INSNS 4096
#define PAVANE_FILTER_MAX_PAGES 8

struct pavane_filter_insn {
	uint16_t code;	/* PAVANE_BPF_*, combined as below */
	uint8_t jt, jf; /* instructions to skip: if true, if false */
	uint32_t k;
};

/* The registers are A and X; M[0] to M[15] are words of memory. k is the instruction's own. */
#define PAVANE_BPF_LD_W_ABS 0x20 /* A = the 4 bytes at frame offset k, from network order */
#define PAVANE_BPF_LD_H_ABS 0x28 /* 2 bytes */
#define PAVANE_BPF_LD_B_ABS 0x30 /* 1 byte */
#define PAVANE_BPF_LD_W_IND 0x40 /* the same at X + k */
#define PAVANE_BPF_LD_H_IND 0x48
#define PAVANE_BPF_LD_B_IND 0x50
#define PAVANE_BPF_LD_LEN   0x80 /* A = the frame's length */
#define PAVANE_BPF_LD_IMM   0x00 /* A = k */
#define PAVANE_BPF_LDX_MSH  0xb1 /* X = 4 * (the byte at k & 15): an IPv4 header's length */
#define PAVANE_BPF_AND_K    0x54 /* A &= k */
#define PAVANE_BPF_JA	    0x05 /* skip k */
#define PAVANE_BPF_JEQ_K    0x15 /* A == k ? skip jt : skip jf */
#define PAVANE_BPF_JGT_K    0x25 /* A > k */
#define PAVANE_BPF_JGE_K    0x35 /* A >= k */
#define PAVANE_BPF_JSET_K   0x45 /* A & k */
#define PAVANE_BPF_RET_K    0x06 /* the result is k */
#define PAVANE_BPF_RET_A    0x16 /* the result is A */

#endif
