# SPDX-License-Identifier: MIT
# libpvguest.a: what any small PV guest needs (tests/guests uses it as well); pv-guest: the kernel;
# and lwIP, its TCP/IP stack, from Debian's source package, built the way net/lwipopts.h says.
PVG_VERSION := 0.1
PVG_CFLAGS  := -O2 -g -std=gnu11 -ffreestanding -fno-pic -mcmodel=small -mno-red-zone \
	-mgeneral-regs-only -fno-stack-protector -fcf-protection=none -fno-common \
	-fno-asynchronous-unwind-tables -fno-omit-frame-pointer $(WARN) \
	-Ihypercalls/abi -Ipv-guest/include -DPV_GUEST_VERSION='"$(PVG_VERSION)"' -MMD -MP
PVG_LDFLAGS := -nostdlib -static -Wl,--build-id=none -Wl,-z,max-page-size=4096 \
	-Wl,-z,noexecstack -Wl,--no-warn-rwx-segments -Wl,-T,pv-guest/arch/pv-guest.lds
PVG_LDS     := pv-guest/arch/pv-guest.lds
PVG_LIB     := $(B)/guest/libpvguest.a
PVG_IMAGE   := $(B)/guest/pv-guest

PVG_LIB_SRC := $(wildcard pv-guest/arch/*.S pv-guest/arch/*.c pv-guest/lib/*.c)
PVG_SRC     := $(wildcard pv-guest/kernel/*.S pv-guest/kernel/*.c pv-guest/net/*.c)
PVG_LIB_OBJ := $(patsubst %,$(B)/%.o,$(basename $(PVG_LIB_SRC)))
# The kernel runs on several vCPUs: all of it, the library too, is built again with PV_SMP.
PVG_OBJ     := $(patsubst pv-guest/%,$(B)/pv-guest-smp/%.o,$(basename $(PVG_SRC) $(PVG_LIB_SRC)))

# Where lwIP lies unpacked; scripts/deps fetches it, unless LWIP names another place.
LWIP        ?= build/lwip
LWIP_STAMP  := $(LWIP)/src/Filelists.mk
LWIP_SRC    := $(addprefix core/,init def dns inet_chksum ip mem memp netif pbuf raw tcp tcp_in \
	tcp_out timeouts udp ipv4/dhcp ipv4/etharp ipv4/icmp ipv4/ip4 ipv4/ip4_addr ipv4/ip4_frag) \
	netif/ethernet
LWIP_OBJ    := $(LWIP_SRC:%=$(B)/pv-lwip/%.o)
LWIP_FLAGS  := -Ipv-guest/net -isystem $(LWIP)/src/include

ALL += $(PVG_LIB) $(PVG_IMAGE)

$(LWIP_STAMP):
	scripts/debian-source lwip bookworm $(LWIP)

# Its warnings are its authors' concern.
$(B)/pv-lwip/%.o: pv-guest/module.mk pv-guest/net/lwipopts.h | $(LWIP_STAMP)
	@mkdir -p $(@D)
	$(CC) $(PVG_CFLAGS) -DPV_SMP $(LWIP_FLAGS) -w -c -o $@ $(LWIP)/src/$*.c

$(B)/pv-guest-smp/net/%.o: pv-guest/net/%.c pv-guest/module.mk | $(LWIP_STAMP)
	@mkdir -p $(@D)
	$(CC) $(PVG_CFLAGS) -DPV_SMP $(LWIP_FLAGS) -c -o $@ $<

$(B)/pv-guest/%.o: pv-guest/%.c pv-guest/module.mk
	@mkdir -p $(@D)
	$(CC) $(PVG_CFLAGS) -c -o $@ $<

$(B)/pv-guest-smp/%.o: pv-guest/%.c pv-guest/module.mk
	@mkdir -p $(@D)
	$(CC) $(PVG_CFLAGS) -DPV_SMP -c -o $@ $<

$(B)/pv-guest/%.o: pv-guest/%.S pv-guest/module.mk
	@mkdir -p $(@D)
	$(CC) $(PVG_CFLAGS) -c -o $@ $<

$(B)/pv-guest-smp/%.o: pv-guest/%.S pv-guest/module.mk
	@mkdir -p $(@D)
	$(CC) $(PVG_CFLAGS) -DPV_SMP -c -o $@ $<

$(PVG_LIB): $(PVG_LIB_OBJ)
	@mkdir -p $(@D)
	@rm -f $@
	$(AR) rcs $@ $^

# An image that holds an instruction PV forbids would die far from its cause: fail here instead.
# What a test executes on purpose stands after a label that starts with "forbidden_".
PVG_CHECK    = $(BIN)/pvctl scan --quiet --allow 'forbidden_*'

$(PVG_IMAGE): $(PVG_OBJ) $(LWIP_OBJ) $(PVG_LDS) | $(BIN)/pvctl
	@mkdir -p $(@D)
	$(CC) $(PVG_LDFLAGS) -o $@ $(PVG_OBJ) $(LWIP_OBJ)
	@$(PVG_CHECK) $@

# User programs: one file each, linked with crt, libc and the kernel's strings and printf; and the
# ramdisk that holds them, the same bytes from the same programs.
PVG_USER_CFLAGS := -O2 -g -std=gnu11 -ffreestanding -fpie -fvisibility=hidden -fno-stack-protector \
	-fcf-protection=none -fno-asynchronous-unwind-tables $(WARN) -Ipv-guest/include -MMD -MP
PVG_USER_SRC  := $(filter-out pv-guest/user/libc.c,$(wildcard pv-guest/user/*.c))
PVG_USER_BIN  := $(patsubst pv-guest/user/%.c,$(B)/guest/user/%,$(PVG_USER_SRC))
PVG_USER_LIB  := $(addprefix $(B)/pv-user/,user/crt.o user/libc.o lib/string.o lib/printf.o)
PVG_USER_LDS  := pv-guest/user/user.lds
PVG_RAMDISK   := $(B)/guest/ramdisk

ALL += $(PVG_RAMDISK)

$(B)/pv-user/%.o: pv-guest/%.c pv-guest/module.mk
	@mkdir -p $(@D)
	$(CC) $(PVG_USER_CFLAGS) -c -o $@ $<

$(B)/pv-user/%.o: pv-guest/%.S pv-guest/module.mk
	@mkdir -p $(@D)
	$(CC) $(PVG_USER_CFLAGS) -c -o $@ $<

$(PVG_USER_BIN): $(B)/guest/user/%: $(B)/pv-user/user/%.o $(PVG_USER_LIB) $(PVG_USER_LDS)
	@mkdir -p $(@D)
	$(CC) -nostdlib -static -no-pie -s -Wl,--build-id=none -Wl,-z,max-page-size=4096 \
		-Wl,-z,noexecstack -Wl,-T,$(PVG_USER_LDS) -o $@ $< $(PVG_USER_LIB)

$(PVG_RAMDISK): $(PVG_USER_BIN)
	cd $(B)/guest/user && printf '%s\n' $(notdir $(PVG_USER_BIN)) | \
		cpio -o -H newc --quiet --reproducible --owner=0:0 >../ramdisk.tmp
	@mv $(B)/guest/ramdisk.tmp $@

.SECONDARY: $(PVG_USER_SRC:pv-guest/%.c=$(B)/pv-user/%.o)
