/* SPDX-License-Identifier: MIT */
/*
 * Libraries that few commands need, loaded when one of their functions is called first: all of them
 * at each start took as long as a command itself. What is linked in their place is a stub for each
 * function, which jumps to where its slot says: at first, to load_stub.
 */
#include <dlfcn.h>

#include "toolstack/pvctl/pvctl.h"

/* clang-format off */
#define XENGUEST(F) \
	F(xc_dom_allocate) F(xc_dom_boot_image) F(xc_dom_boot_mem_init) F(xc_dom_boot_xen_init) \
	F(xc_dom_build_image) F(xc_dom_gnttab_init) F(xc_dom_kernel_file) F(xc_dom_kernel_mem) \
	F(xc_dom_mem_init) F(xc_dom_module_file) F(xc_dom_parse_image) F(xc_dom_release) \
	F(xc_dom_translated)
#define XLUTIL(F) \
	F(xlu_cfg_destroy) F(xlu_cfg_get_list) F(xlu_cfg_get_listitem) F(xlu_cfg_get_long) \
	F(xlu_cfg_get_string) F(xlu_cfg_init) F(xlu_cfg_readfile) F(xlu_disk_parse) \
	F(xlu_vif_parse_rate)
#define XENLIGHT(F) \
	F(libxl_defbool_is_default) F(libxl_defbool_val) F(libxl_device_disk_dispose) \
	F(libxl_device_disk_init) F(libxl_device_nic_dispose) F(libxl_device_nic_init)
#define ZYDIS(F) \
	F(ZydisDecoderDecodeFull) F(ZydisDecoderDecodeInstruction) F(ZydisDecoderInit) \
	F(ZydisFormatterFormatInstruction) F(ZydisFormatterInit)
/* clang-format on */

struct slot {
	void *to; /* first: the stub jumps there */
	const char *library, *function;
};

void lazy_load(struct slot *slot);
void lazy_stub(void);

void lazy_load(struct slot *slot)
{
	void *library = dlopen(slot->library, RTLD_NOW), *to;

	to = library ? dlsym(library, slot->function) : NULL;
	if (!to)
		die("%s", dlerror());
	slot->to = to;
}

/* With the slot in RAX: load, then make the call with the arguments as they were. */
asm(".pushsection .text\n"
    "lazy_stub:\n"
    "	push %rdi\n	push %rsi\n	push %rdx\n	push %rcx\n"
    "	push %r8\n	push %r9\n	push %rax\n"
    "	mov %rax, %rdi\n"
    "	call lazy_load\n"
    "	pop %rax\n	pop %r9\n	pop %r8\n"
    "	pop %rcx\n	pop %rdx\n	pop %rsi\n	pop %rdi\n"
    "	jmp *(%rax)\n"
    ".popsection");

#define STUB(file, name)                                                                 \
	__attribute__((used)) static struct slot slot_##name = {lazy_stub, file, #name}; \
	asm(".pushsection .text\n"                                                       \
	    ".globl " #name "\n"                                                         \
	    ".type " #name ", @function\n" #name ":\n"                                   \
	    "	lea slot_" #name "(%rip), %rax\n"                                        \
	    "	jmp *(%rax)\n"                                                             \
	    ".popsection");
#define IN_XENGUEST(name) STUB(SONAME_xenguest, name)
#define IN_XLUTIL(name)	  STUB(SONAME_xlutil, name)
#define IN_XENLIGHT(name) STUB(SONAME_xenlight, name)
#define IN_ZYDIS(name)	  STUB(SONAME_Zydis, name)

XENGUEST(IN_XENGUEST)
XLUTIL(IN_XLUTIL)
XENLIGHT(IN_XENLIGHT)
ZYDIS(IN_ZYDIS)
