# SPDX-License-Identifier: MIT
# Backends: one program per kind of device, each on common/ and the four thin libraries.
BACKEND_COMMON := $(wildcard toolstack/backends/common/*.c) toolstack/xenlibs/conn.c

THIN_LIBS = $(foreach l,xencall xenforeignmemory xenevtchn xengnttab,$(LIB)/lib$l.so.1)

# $(call backend_program,NAME,SOURCES,LIBRARIES)
define backend_program
$(1)_OBJS := $$(patsubst %.c,$(B)/backends/%.o,$(2) $(BACKEND_COMMON))
$(BIN)/$(1): $$($(1)_OBJS) $$(VERSION_O) $$(THIN_LIBS)
	@mkdir -p $$(@D)
	$$(CC) $$(SANFLAGS) -pie -Wl,-z,now -o $$@ $$($(1)_OBJS) $$(VERSION_O) -Wl,--no-as-needed $$(THIN_LIBS) \
		-Wl,--as-needed -lxenstore -lseccomp $(3) -lpthread \
		-Wl,--disable-new-dtags '-Wl,-rpath,$$$$ORIGIN/../lib/pavane'
ALL += $(BIN)/$(1)
BACKEND_PROGRAMS += $(BIN)/$(1)
endef

$(B)/backends/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(HOSTCFLAGS) -fPIE -D__XEN_TOOLS__ -include stdint.h -c -o $@ $<

$(eval $(call backend_program,pvblk,$(wildcard toolstack/backends/block/*.c),-luring))
$(eval $(call backend_program,pvnet,$(wildcard toolstack/backends/net/*.c),-lslirp))

# pvqemu becomes another program: it has nothing of common/
PVQEMU_OBJS := $(patsubst %.c,$(B)/backends/%.o,$(wildcard toolstack/backends/qemu/*.c) \
	toolstack/xenlibs/conn.c)
$(BIN)/pvqemu: $(PVQEMU_OBJS) $(VERSION_O)
	@mkdir -p $(@D)
	$(CC) $(SANFLAGS) -pie -Wl,-z,now -o $@ $^ -lxenstore -lseccomp
ALL += $(BIN)/pvqemu
BACKEND_PROGRAMS += $(BIN)/pvqemu

.PHONY: install-backends
install-backends: all
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(BACKEND_PROGRAMS) $(DESTDIR)$(PREFIX)/bin/
INSTALLS += install-backends
