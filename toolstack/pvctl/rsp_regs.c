/* SPDX-License-Identifier: MIT */
/*
 * The registers that gdb is told of: its own features for x86-64, and what a kernel's debugger
 * wants beside them. One table is both the target description and the order of the g packet.
 */
#include <stdio.h>
#include <string.h>

#include "toolstack/pvctl/rsp.h"

#define UNKNOWN 0xffff /* no value: a PV vCPU's context has no x87 registers */
#define AT(m)	offsetof(struct rsp_regs, m)
#define GPR(i)	AT(gpr[i])

static const char core[] = "org.gnu.gdb.i386.core", segments[] = "org.gnu.gdb.i386.segments",
		  system[] = "org.pavane.x86.system";

static const struct reg {
	const char *feature, *name, *type;
	uint16_t bits, offset;
	bool fixed; /* cannot be changed */
} table[] = {
	{core, "rax", "int64", 64, GPR(0), false},
	{core, "rbx", "int64", 64, GPR(1), false},
	{core, "rcx", "int64", 64, GPR(2), false},
	{core, "rdx", "int64", 64, GPR(3), false},
	{core, "rsi", "int64", 64, GPR(4), false},
	{core, "rdi", "int64", 64, GPR(5), false},
	{core, "rbp", "data_ptr", 64, GPR(6), false},
	{core, "rsp", "data_ptr", 64, GPR(7), false},
	{core, "r8", "int64", 64, GPR(8), false},
	{core, "r9", "int64", 64, GPR(9), false},
	{core, "r10", "int64", 64, GPR(10), false},
	{core, "r11", "int64", 64, GPR(11), false},
	{core, "r12", "int64", 64, GPR(12), false},
	{core, "r13", "int64", 64, GPR(13), false},
	{core, "r14", "int64", 64, GPR(14), false},
	{core, "r15", "int64", 64, GPR(15), false},
	{core, "rip", "code_ptr", 64, AT(rip), false},
	{core, "eflags", "i386_eflags", 32, AT(rflags), false},
	{core, "cs", "int32", 32, AT(seg[0]), false},
	{core, "ss", "int32", 32, AT(seg[1]), false},
	{core, "ds", "int32", 32, AT(seg[2]), false},
	{core, "es", "int32", 32, AT(seg[3]), false},
	{core, "fs", "int32", 32, AT(seg[4]), false},
	{core, "gs", "int32", 32, AT(seg[5]), false},
	{core, "st0", "i387_ext", 80, UNKNOWN, true},
	{core, "st1", "i387_ext", 80, UNKNOWN, true},
	{core, "st2", "i387_ext", 80, UNKNOWN, true},
	{core, "st3", "i387_ext", 80, UNKNOWN, true},
	{core, "st4", "i387_ext", 80, UNKNOWN, true},
	{core, "st5", "i387_ext", 80, UNKNOWN, true},
	{core, "st6", "i387_ext", 80, UNKNOWN, true},
	{core, "st7", "i387_ext", 80, UNKNOWN, true},
	{core, "fctrl", "int", 32, UNKNOWN, true},
	{core, "fstat", "int", 32, UNKNOWN, true},
	{core, "ftag", "int", 32, UNKNOWN, true},
	{core, "fiseg", "int", 32, UNKNOWN, true},
	{core, "fioff", "int", 32, UNKNOWN, true},
	{core, "foseg", "int", 32, UNKNOWN, true},
	{core, "fooff", "int", 32, UNKNOWN, true},
	{core, "fop", "int", 32, UNKNOWN, true},
	{segments, "fs_base", "int", 64, AT(fs_base), false},
	{segments, "gs_base", "int", 64, AT(gs_base), false},
	{system, "k_gs_base", "int", 64, AT(k_gs_base), false},
	{system, "cr2", "int", 64, AT(cr2), true},
	{system, "cr3", "int", 64, AT(cr3), true},
};

/* gdb knows the bits of eflags only if it is told. */
static const char flags_type[] =
	"<flags id=\"i386_eflags\" size=\"4\"><field name=\"CF\" start=\"0\" end=\"0\"/>"
	"<field name=\"\" start=\"1\" end=\"1\"/><field name=\"PF\" start=\"2\" end=\"2\"/>"
	"<field name=\"AF\" start=\"4\" end=\"4\"/><field name=\"ZF\" start=\"6\" end=\"6\"/>"
	"<field name=\"SF\" start=\"7\" end=\"7\"/><field name=\"TF\" start=\"8\" end=\"8\"/>"
	"<field name=\"IF\" start=\"9\" end=\"9\"/><field name=\"DF\" start=\"10\" end=\"10\"/>"
	"<field name=\"OF\" start=\"11\" end=\"11\"/><field name=\"NT\" start=\"14\" end=\"14\"/>"
	"<field name=\"RF\" start=\"16\" end=\"16\"/><field name=\"AC\" start=\"18\" end=\"18\"/>"
	"<field name=\"ID\" start=\"21\" end=\"21\"/></flags>";

unsigned rsp_regs_count(void)
{
	return sizeof(table) / sizeof(table[0]);
}

void rsp_put_reg(struct rsp *r, const struct rsp_regs *regs, unsigned i)
{
	const struct reg *g = &table[i];

	if (g->offset != UNKNOWN) {
		rsp_put_hex(r, (const uint8_t *)regs + g->offset, g->bits / 8);
		return;
	}
	for (unsigned n = 0; n < g->bits / 8; n++)
		rsp_put(r, "xx");
}

bool rsp_set_reg(struct rsp_regs *regs, unsigned i, const char **hex)
{
	const struct reg *g = &table[i];
	const size_t n = g->bits / 8;
	uint8_t bytes[16];

	if (g->offset == UNKNOWN && !strncmp(*hex, "xxxxxxxxxxxxxxxxxxxx", 2 * n)) {
		*hex += 2 * n;
		return true;
	}
	if (rsp_hex_bytes(*hex, bytes, n) != n)
		return false;
	*hex += 2 * n;
	if (!g->fixed)
		memcpy((uint8_t *)regs + g->offset, bytes, n);
	return true;
}

size_t rsp_target_xml(char *buf, size_t size)
{
	size_t n = snprintf(buf, size,
			    "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\">"
			    "<target version=\"1.0\"><architecture>i386:x86-64</architecture>");

	for (unsigned i = 0; i < rsp_regs_count() && n < size; i++) {
		const struct reg *g = &table[i];

		if (!i || g->feature != g[-1].feature)
			n += snprintf(buf + n, size - n, "%s<feature name=\"%s\">%s",
				      i ? "</feature>" : "", g->feature, i ? "" : flags_type);
		if (n < size)
			n += snprintf(buf + n, size - n,
				      "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\" regnum=\"%u\"/>",
				      g->name, g->bits, g->type, i);
	}
	if (n < size)
		n += snprintf(buf + n, size - n, "</feature></target>");
	return n < size ? n : size;
}
