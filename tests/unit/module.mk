# SPDX-License-Identifier: MIT
# Each tests/unit/test_NAME.c is a cmocka program; UNIT_NAME_OBJS are what it tests, as the programs
# have it, UNIT_NAME_SRCS what is compiled for the test alone, with its flags.
M := $(B)/hypercalls/monitor
PVCTL_DIR := $(B)/pvctl/toolstack/pvctl
NET_DIR := $(B)/backends/toolstack/backends/net
UNIT_evtchn_OBJS := $(addprefix $M/,evtchn.o evtchn_op.o sched.o time.o trace.o vcpu.o)
UNIT_debug_OBJS  := $(UNIT_evtchn_OBJS) $M/debug.o $M/debug_point.o $M/decode.o
UNIT_debug_LIBS  := -lZydis
UNIT_misc_OBJS   := $(UNIT_evtchn_OBJS) $(addprefix $M/,version.o extension.o console.o grant.o grant_map.o lend.o misc.o tlb.o)
UNIT_context_OBJS := $(addprefix $M/,copy.o frame.o validate.o mmuext.o mmu.o descriptor.o tlb.o vcpu.o memory.o)
UNIT_mmu_OBJS    := $(addprefix $M/,copy.o frame.o validate.o mmu.o mmuext.o memory.o descriptor.o lend.o tlb.o)
UNIT_frames_OBJS := $(UNIT_mmu_OBJS)
UNIT_cpuid_OBJS  := $M/cpuid.o
UNIT_scan_OBJS   := $(addprefix $(PVCTL_DIR)/,elf_image.o scan_insn.o scan_alt.o scan_sweep.o)
UNIT_scan_LIBS   := -lZydis
UNIT_rsp_OBJS    := $(addprefix $(PVCTL_DIR)/,rsp.o rsp_command.o rsp_regs.o rsp_text.o)
# The guest's driver in an ordinary process.
UNIT_netfront_SRCS := pv-guest/kernel/netfront.c
UNIT_netfront_FLAGS := -Ipv-guest/include -Ihypercalls/abi
UNIT_netback_OBJS := $(addprefix $(NET_DIR)/,tx.o rx.o proto.o rate.o backlog.o)
UNIT_netback_rx_OBJS := $(UNIT_netback_OBJS)
UNIT_netfilter_OBJS := $(addprefix $(NET_DIR)/,filter.o hostfwd.o)
UNIT_slirp_OBJS := $(addprefix $(NET_DIR)/,slirp.o host.o hostfwd.o proto.o confine.o)
UNIT_slirp_LIBS := -lslirp -lseccomp
UNIT_netconfine_OBJS := $(NET_DIR)/confine.o
UNIT_netconfine_LIBS := -lseccomp
UNIT_backend_store_OBJS := $(B)/backends/toolstack/backends/common/store.o
# pvblk without pvd
UNIT_blk_SRCS := $(filter-out %/main.c,$(wildcard toolstack/backends/block/*.c))
UNIT_blk_FLAGS := -DBLK_TEST_STEPS -D__XEN_TOOLS__ -include stdint.h
UNIT_blk_LIBS := -luring
# the broker's parts that need no guest
UNIT_pvd_OBJS := $(patsubst %,$(B)/toolstack/pvd/%.o,arena log state gnttab hold lend evtchn ctl) \
	$(B)/toolstack/xenlibs/conn.o
UNIT_pvd_FLAGS := -D__XEN_TOOLS__ -include stdint.h
UNIT_between_OBJS := $(UNIT_pvd_OBJS)
UNIT_between_FLAGS := $(UNIT_pvd_FLAGS)
# pvdom's own isolation
UNIT_isolation_OBJS := $(addprefix $(B)/hypercalls/pvdom/,namespaces.o landlock.o sandbox.o limits.o)
UNIT_isolation_LIBS := -lseccomp
UNIT_sandbox_OBJS := $(B)/backends/toolstack/backends/common/sandbox.o
UNIT_qemusandbox_OBJS := $(B)/backends/toolstack/backends/qemu/sandbox.o
UNIT_qemusandbox_LIBS := -lseccomp
UNIT_sandbox_LIBS := -lseccomp
# The translator, without what else is in its own test: compiled as the monitor is, for which there
# is no -fsanitize.
UNIT_step32_OBJS := $(addprefix $(B)/tests/translate/,$(patsubst %.c,%.o,tests/translate/guest.c \
	tests/translate/engine.c tests/translate/filter.c tests/translate/pages.c tests/translate/case.c \
	hypercalls/monitor/copy.c hypercalls/monitor/trace.c \
	$(wildcard host-driver/providers/process/translate/*.c)) \
	$(patsubst %.S,%.S.o,$(wildcard host-driver/providers/process/translate/*.S)))
UNIT_step32_SRCS := tests/unit/native32.S
UNIT_step32_LIBS := -lZydis
UNIT_step32_FLAGS := -mfsgsbase
UNIT_NOT_SAN     := step32
# A guest's headers, and code that calls without the compiler's knowledge.
UNIT_abi_FLAGS   := -Ihypercalls/abi -mno-red-zone
# As in pvdom: no vector register is the compiler's.
T := host-driver/providers/process/translate
STEP_OBJS := $(patsubst %.c,$(B)/%.o,$(wildcard $T/step*.c) $T/watch.c) $(B)/$T/step.S.o
UNIT_step_OBJS := $(STEP_OBJS)
UNIT_step_SRCS := tests/unit/step_forms.S
UNIT_step_FLAGS := -mgeneral-regs-only -fno-tree-loop-distribute-patterns
UNIT_step_LIBS := -lZydis
UNIT_step_guest_OBJS := $(STEP_OBJS)
UNIT_step_guest_FLAGS := $(UNIT_step_FLAGS)
UNIT_step_guest_LIBS := -lZydis
UNIT_step_system_OBJS := $(STEP_OBJS)
UNIT_step_system_FLAGS := $(UNIT_step_FLAGS)
UNIT_step_system_LIBS := -lZydis

UNITS := $(filter-out $(if $(SAN),$(UNIT_NOT_SAN)),$(patsubst tests/unit/test_%.c,%,$(wildcard tests/unit/test_*.c)))
UNIT_BINS := $(UNITS:%=$(B)/tests/unit/test_%)

# A test itself need not be fast.
$(UNITS:%=$(B)/tests/unit/test_%.o): $(B)/tests/unit/test_%.o: tests/unit/test_%.c
	@mkdir -p $(@D)
	$(CC) $(HOSTCFLAGS) -O1 $(UNIT_$*_FLAGS) -c -o $@ $<

$(foreach u,$(UNITS),$(eval $(B)/tests/unit/test_$u: $(B)/tests/unit/test_$u.o $(UNIT_$u_SRCS) $(UNIT_$u_OBJS)))
$(UNIT_BINS): $(B)/tests/unit/test_%: $(wildcard tests/unit/*.S toolstack/backends/block/*.h)
	$(CC) $(filter-out -MMD -MP,$(HOSTCFLAGS)) $(UNIT_$*_FLAGS) -o $@ $@.o $(UNIT_$*_SRCS) $(UNIT_$*_OBJS) \
		$(UNIT_$*_LIBS) -lcmocka -lpthread

.PHONY: unit-tests
unit-tests: $(UNIT_BINS)
