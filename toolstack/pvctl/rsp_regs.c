/* SPDX-License-Identifier: MIT */
/*
 * The registers that gdb is told of: its own features for x86-64, and what a kernel's debugger
 * wants beside them. One table is both the target description and the order of the g packet.
 */
#include <stdio.h>
#include <string.h>

#include "toolstack/pvctl/rsp.h"

#define FIXED	1 /* cannot be changed */
#define VECTORS 2 /* not known of every vCPU */
#define AT(m)	offsetof(struct rsp_regs, m)
#define GPR(i)	AT(gpr[i])

static const char core[] = "org.gnu.gdb.i386.core", segments[] = "org.gnu.gdb.i386.segments",
		  system[] = "org.pavane.x86.system", sse[] = "org.gnu.gdb.i386.sse";

static const struct reg {
	const char *feature, *name, *type;
	uint16_t bits, offset;
	uint8_t kind;
} table[] = {
	{core, "rax", "int64", 64, GPR(0), 0},
	{core, "rbx", "int64", 64, GPR(1), 0},
	{core, "rcx", "int64", 64, GPR(2), 0},
	{core, "rdx", "int64", 64, GPR(3), 0},
	{core, "rsi", "int64", 64, GPR(4), 0},
	{core, "rdi", "int64", 64, GPR(5), 0},
	{core, "rbp", "data_ptr", 64, GPR(6), 0},
	{core, "rsp", "data_ptr", 64, GPR(7), 0},
	{core, "r8", "int64", 64, GPR(8), 0},
	{core, "r9", "int64", 64, GPR(9), 0},
	{core, "r10", "int64", 64, GPR(10), 0},
	{core, "r11", "int64", 64, GPR(11), 0},
	{core, "r12", "int64", 64, GPR(12), 0},
	{core, "r13", "int64", 64, GPR(13), 0},
	{core, "r14", "int64", 64, GPR(14), 0},
	{core, "r15", "int64", 64, GPR(15), 0},
	{core, "rip", "code_ptr", 64, AT(rip), 0},
	{core, "eflags", "i386_eflags", 32, AT(rflags), 0},
	{core, "cs", "int32", 32, AT(seg[0]), 0},
	{core, "ss", "int32", 32, AT(seg[1]), 0},
	{core, "ds", "int32", 32, AT(seg[2]), 0},
	{core, "es", "int32", 32, AT(seg[3]), 0},
	{core, "fs", "int32", 32, AT(seg[4]), 0},
	{core, "gs", "int32", 32, AT(seg[5]), 0},
	{core, "st0", "i387_ext", 80, AT(st[0]), VECTORS},
	{core, "st1", "i387_ext", 80, AT(st[1]), VECTORS},
	{core, "st2", "i387_ext", 80, AT(st[2]), VECTORS},
	{core, "st3", "i387_ext", 80, AT(st[3]), VECTORS},
	{core, "st4", "i387_ext", 80, AT(st[4]), VECTORS},
	{core, "st5", "i387_ext", 80, AT(st[5]), VECTORS},
	{core, "st6", "i387_ext", 80, AT(st[6]), VECTORS},
	{core, "st7", "i387_ext", 80, AT(st[7]), VECTORS},
	{core, "fctrl", "int", 32, AT(fctrl), VECTORS},
	{core, "fstat", "int", 32, AT(fstat), VECTORS},
	{core, "ftag", "int", 32, AT(ftag), VECTORS},
	{core, "fiseg", "int", 32, AT(fiseg), VECTORS},
	{core, "fioff", "int", 32, AT(fioff), VECTORS},
	{core, "foseg", "int", 32, AT(foseg), VECTORS},
	{core, "fooff", "int", 32, AT(fooff), VECTORS},
	{core, "fop", "int", 32, AT(fop), VECTORS},
	{segments, "fs_base", "int", 64, AT(fs_base), 0},
	{segments, "gs_base", "int", 64, AT(gs_base), 0},
	{system, "k_gs_base", "int", 64, AT(k_gs_base), 0},
	{system, "cr2", "int", 64, AT(cr2), FIXED},
	{system, "cr3", "int", 64, AT(cr3), FIXED},
	{sse, "xmm0", "vec128", 128, AT(xmm[0]), VECTORS},
	{sse, "xmm1", "vec128", 128, AT(xmm[1]), VECTORS},
	{sse, "xmm2", "vec128", 128, AT(xmm[2]), VECTORS},
	{sse, "xmm3", "vec128", 128, AT(xmm[3]), VECTORS},
	{sse, "xmm4", "vec128", 128, AT(xmm[4]), VECTORS},
	{sse, "xmm5", "vec128", 128, AT(xmm[5]), VECTORS},
	{sse, "xmm6", "vec128", 128, AT(xmm[6]), VECTORS},
	{sse, "xmm7", "vec128", 128, AT(xmm[7]), VECTORS},
	{sse, "xmm8", "vec128", 128, AT(xmm[8]), VECTORS},
	{sse, "xmm9", "vec128", 128, AT(xmm[9]), VECTORS},
	{sse, "xmm10", "vec128", 128, AT(xmm[10]), VECTORS},
	{sse, "xmm11", "vec128", 128, AT(xmm[11]), VECTORS},
	{sse, "xmm12", "vec128", 128, AT(xmm[12]), VECTORS},
	{sse, "xmm13", "vec128", 128, AT(xmm[13]), VECTORS},
	{sse, "xmm14", "vec128", 128, AT(xmm[14]), VECTORS},
	{sse, "xmm15", "vec128", 128, AT(xmm[15]), VECTORS},
	{sse, "mxcsr", "i386_mxcsr", 32, AT(mxcsr), VECTORS},
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

static const char vector_types[] =
	"<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>"
	"<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
	"<vector id=\"v16b\" type=\"int8\" count=\"16\"/><vector id=\"v8w\" type=\"int16\" count=\"8\"/>"
	"<vector id=\"v4l\" type=\"int32\" count=\"4\"/><vector id=\"v2q\" type=\"int64\" count=\"2\"/>"
	"<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/>"
	"<field name=\"v2_double\" type=\"v2d\"/><field name=\"v16_int8\" type=\"v16b\"/>"
	"<field name=\"v8_int16\" type=\"v8w\"/><field name=\"v4_int32\" type=\"v4l\"/>"
	"<field name=\"v2_int64\" type=\"v2q\"/><field name=\"uint128\" type=\"uint128\"/></union>"
	"<flags id=\"i386_mxcsr\" size=\"4\"><field name=\"IE\" start=\"0\" end=\"0\"/>"
	"<field name=\"DE\" start=\"1\" end=\"1\"/><field name=\"ZE\" start=\"2\" end=\"2\"/>"
	"<field name=\"OE\" start=\"3\" end=\"3\"/><field name=\"UE\" start=\"4\" end=\"4\"/>"
	"<field name=\"PE\" start=\"5\" end=\"5\"/><field name=\"DAZ\" start=\"6\" end=\"6\"/>"
	"<field name=\"IM\" start=\"7\" end=\"7\"/><field name=\"DM\" start=\"8\" end=\"8\"/>"
	"<field name=\"ZM\" start=\"9\" end=\"9\"/><field name=\"OM\" start=\"10\" end=\"10\"/>"
	"<field name=\"UM\" start=\"11\" end=\"11\"/><field name=\"PM\" start=\"12\" end=\"12\"/>"
	"<field name=\"FZ\" start=\"15\" end=\"15\"/></flags>";

static const char *types_of(const char *feature)
{
	return feature == core ? flags_type : feature == sse ? vector_types : "";
}

unsigned rsp_regs_count(void)
{
	return sizeof(table) / sizeof(table[0]);
}

void rsp_put_reg(struct rsp *r, const struct rsp_regs *regs, unsigned i)
{
	const struct reg *g = &table[i];

	if (regs->vectors || !(g->kind & VECTORS)) {
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

	if (!regs->vectors && g->kind & VECTORS && strspn(*hex, "x") >= 2 * n) {
		*hex += 2 * n;
		return true;
	}
	if (rsp_hex_bytes(*hex, bytes, n) != n)
		return false;
	*hex += 2 * n;
	if (!(g->kind & FIXED) && (regs->vectors || !(g->kind & VECTORS)))
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
				      i ? "</feature>" : "", g->feature, types_of(g->feature));
		if (n < size)
			n += snprintf(buf + n, size - n,
				      "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\" regnum=\"%u\"/>",
				      g->name, g->bits, g->type, i);
	}
	if (n < size)
		n += snprintf(buf + n, size - n, "</feature></target>");
	return n < size ? n : size;
}
