/* SPDX-License-Identifier: MIT */
/*
 * x87 and SSE registers as gdb has them, and as a vCPU's context does: FXSAVE's image in 64-bit
 * mode (Intel SDM vol. 1, 10.5.1).
 */
#include "toolstack/pvctl/gdb.h"

#include <string.h>

#define FCW   0
#define FSW   2
#define FTW   4
#define FOP   6
#define FIP   8
#define FDP   16
#define MXCSR 24
#define ST    32  /* 16 bytes each, 10 of them used */
#define XMM   160 /* 16 bytes each */

enum { TAG_VALID, TAG_ZERO, TAG_SPECIAL, TAG_EMPTY };

static uint64_t get(const uint8_t *image, unsigned at, unsigned n)
{
	uint64_t val = 0;

	memcpy(&val, image + at, n);
	return val;
}

static unsigned tag_of(const uint8_t *st)
{
	const uint64_t fraction = get(st, 0, 8), exponent = get(st, 8, 2) & 0x7fff;

	if (!exponent && !fraction)
		return TAG_ZERO;
	return exponent && exponent != 0x7fff && fraction >> 63 ? TAG_VALID : TAG_SPECIAL;
}

/* The tags of physical registers: the image says only which of them are empty. */
static uint32_t tags(const uint8_t *image)
{
	const unsigned top = get(image, FSW, 2) >> 11 & 7;
	uint32_t all = 0;

	for (unsigned i = 0; i < 8; i++) {
		const uint8_t *st = image + ST + 16 * ((i - top) & 7);

		all |= (image[FTW] >> i & 1 ? tag_of(st) : TAG_EMPTY) << 2 * i;
	}
	return all;
}

void vectors_get(struct rsp_regs *r, const uint8_t *image)
{
	r->vectors = true;
	for (unsigned i = 0; i < 8; i++)
		memcpy(r->st[i], image + ST + 16 * i, sizeof(r->st[i]));
	memcpy(r->xmm, image + XMM, sizeof(r->xmm));
	r->fctrl = get(image, FCW, 2);
	r->fstat = get(image, FSW, 2);
	r->ftag = tags(image);
	r->fop = get(image, FOP, 2);
	r->fioff = get(image, FIP, 4);
	r->fiseg = get(image, FIP + 4, 4);
	r->fooff = get(image, FDP, 4);
	r->foseg = get(image, FDP + 4, 4);
	r->mxcsr = get(image, MXCSR, 4);
}

void vectors_put(const struct rsp_regs *r, uint8_t *image)
{
	for (unsigned i = 0; i < 8; i++)
		memcpy(image + ST + 16 * i, r->st[i], sizeof(r->st[i]));
	memcpy(image + XMM, r->xmm, sizeof(r->xmm));
	memcpy(image + FCW, &r->fctrl, 2);
	memcpy(image + FSW, &r->fstat, 2);
	image[FTW] = 0;
	for (unsigned i = 0; i < 8; i++)
		image[FTW] |= ((r->ftag >> 2 * i & 3) != TAG_EMPTY) << i;
	memcpy(image + FOP, &r->fop, 2);
	memcpy(image + FIP, &r->fioff, 4);
	memcpy(image + FIP + 4, &r->fiseg, 4);
	memcpy(image + FDP, &r->fooff, 4);
	memcpy(image + FDP + 4, &r->foseg, 4);
	memcpy(image + MXCSR, &r->mxcsr, 4);
}
