# SPDX-License-Identifier: MIT
# pvhost.ko for the kernel that the lab boots. Built in a copy: Kbuild writes beside its sources.
PVHOST_SRC := $(wildcard host-driver/linux/*.[chS] host-driver/linux/Kbuild host-driver/abi/*.h)

$(B)/host-driver/linux/pvhost.ko: $(PVHOST_SRC) host-driver/linux/module.mk
	@mkdir -p $(@D) $(B)/host-driver/abi
	@[ -n "$(LAB_HEADERS)" ] || { echo "pvhost.ko: no kernel headers: make deps" >&2; exit 1; }
	@cp -pu host-driver/linux/*.[chS] host-driver/linux/Kbuild $(@D)
	@cp -pu host-driver/abi/*.h $(B)/host-driver/abi
	@$(MAKE) -s -C $(LAB_HEADERS) M=$(abspath $(@D)) W=1 modules >$(@D)/log 2>&1 || \
		{ cat $(@D)/log >&2; exit 1; }
	@! grep -v BTF $(@D)/log >&2

ALL += $(B)/host-driver/linux/pvhost.ko
