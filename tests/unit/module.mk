# SPDX-License-Identifier: MIT
# Each tests/unit/test_NAME.c is a cmocka program; UNIT_NAME_SRCS are the files it tests.
M := hypercalls/monitor
UNIT_evtchn_SRCS := $(addprefix $M/,evtchn.c evtchn_op.c sched.c time.c trace.c vcpu.c)
UNIT_debug_SRCS  := $(UNIT_evtchn_SRCS) $M/debug.c $M/debug_point.c $M/decode.c
UNIT_debug_LIBS  := -lZydis
UNIT_misc_SRCS   := $(UNIT_evtchn_SRCS) $(addprefix $M/,version.c extension.c console.c grant.c grant_map.c lend.c misc.c tlb.c)
UNIT_context_SRCS := $(addprefix $M/,copy.c frame.c validate.c mmuext.c mmu.c descriptor.c tlb.c vcpu.c memory.c)
UNIT_mmu_SRCS    := $(addprefix $M/,copy.c frame.c validate.c mmu.c mmuext.c memory.c descriptor.c lend.c tlb.c)
UNIT_frames_SRCS := $(UNIT_mmu_SRCS)
UNIT_cpuid_SRCS  := $M/cpuid.c
UNIT_scan_SRCS   := $(addprefix toolstack/pvctl/,elf_image.c scan_insn.c scan_alt.c scan_sweep.c)
UNIT_scan_LIBS   := -lZydis
UNIT_rsp_SRCS    := $(addprefix toolstack/pvctl/,rsp.c rsp_command.c rsp_regs.c rsp_text.c)
# The guest's driver in an ordinary process.
UNIT_netfront_SRCS := pv-guest/kernel/netfront.c
UNIT_netfront_FLAGS := -Ipv-guest/include -Ihypercalls/abi
UNIT_netback_SRCS := $(addprefix toolstack/backends/net/,tx.c rx.c proto.c rate.c backlog.c)
UNIT_netback_rx_SRCS := $(UNIT_netback_SRCS)
UNIT_netfilter_SRCS := $(addprefix toolstack/backends/net/,filter.c hostfwd.c)
UNIT_slirp_SRCS := $(addprefix toolstack/backends/net/,slirp.c host.c hostfwd.c proto.c confine.c)
UNIT_slirp_LIBS := -lslirp -lseccomp
UNIT_netconfine_SRCS := toolstack/backends/net/confine.c
UNIT_netconfine_LIBS := -lseccomp
UNIT_backend_store_SRCS := toolstack/backends/common/store.c
# pvdom's own isolation
UNIT_isolation_SRCS := $(addprefix hypercalls/pvdom/,namespaces.c landlock.c sandbox.c limits.c)
UNIT_isolation_LIBS := -lseccomp
UNIT_sandbox_SRCS := toolstack/backends/common/sandbox.c
UNIT_qemusandbox_SRCS := toolstack/backends/qemu/sandbox.c
UNIT_qemusandbox_LIBS := -lseccomp
UNIT_sandbox_LIBS := -lseccomp
# The translator, without what else is in its own test: compiled as the monitor is, for which there
# is no -fsanitize.
UNIT_step32_OBJS := $(addprefix $(B)/tests/translate/,$(patsubst %.c,%.o,tests/translate/guest.c \
	tests/translate/engine.c tests/translate/filter.c tests/translate/pages.c tests/translate/case.c \
	hypercalls/monitor/copy.c hypercalls/monitor/trace.c \
	$(wildcard host-driver/providers/process/translate/*.c)) \
	$(patsubst %.S,%.S.o,$(wildcard host-driver/providers/process/translate/*.S)))
UNIT_step32_SRCS := tests/unit/native32.S $(UNIT_step32_OBJS)
UNIT_step32_LIBS := -lZydis
UNIT_step32_FLAGS := -mfsgsbase
UNIT_NOT_SAN     := step32
# A guest's headers, and code that calls without the compiler's knowledge.
UNIT_abi_FLAGS   := -Ihypercalls/abi -mno-red-zone
# As in pvdom: no vector register is the compiler's.
T := host-driver/providers/process/translate
STEP_SRCS := $(wildcard $T/step*.c) $T/watch.c $T/step.S
UNIT_step_SRCS := $(STEP_SRCS) tests/unit/step_forms.S
UNIT_step_FLAGS := -mgeneral-regs-only -fno-tree-loop-distribute-patterns
UNIT_step_LIBS := -lZydis
UNIT_step_guest_SRCS := $(STEP_SRCS)
UNIT_step_guest_FLAGS := $(UNIT_step_FLAGS)
UNIT_step_guest_LIBS := -lZydis
UNIT_step_system_SRCS := $(STEP_SRCS)
UNIT_step_system_FLAGS := $(UNIT_step_FLAGS)
UNIT_step_system_LIBS := -lZydis

UNITS := $(filter-out $(if $(SAN),$(UNIT_NOT_SAN)),$(patsubst tests/unit/test_%.c,%,$(wildcard tests/unit/test_*.c)))
UNIT_BINS := $(UNITS:%=$(B)/tests/unit/test_%)

$(UNIT_BINS): $(B)/tests/unit/test_%: tests/unit/test_%.c $(wildcard $M/*.[ch] tests/unit/*.h toolstack/pvctl/*.[ch] \
	toolstack/backends/*/*.[ch] hypercalls/pvdom/*.[ch] $T/*.[chS] tests/unit/*.S hypercalls/abi/pavane/*.h pv-guest/kernel/netfront.c pv-guest/include/pv/*.h)
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP,$(HOSTCFLAGS)) $(UNIT_$*_FLAGS) -o $@ $< $(UNIT_$*_SRCS) $(UNIT_$*_LIBS) \
		-lcmocka -lpthread

$(B)/tests/unit/test_step32: $(UNIT_step32_SRCS)

.PHONY: unit-tests
unit-tests: $(UNIT_BINS)
