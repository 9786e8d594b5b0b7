# SPDX-License-Identifier: MIT
# pvctl, on Debian's libxenctrl family and our four thin libraries (RPATH: not transitive otherwise).
PVCTL_SRCS := $(wildcard toolstack/pvctl/*.c) toolstack/xenlibs/conn.c
PVCTL_OBJS  = $(PVCTL_SRCS:%.c=$(B)/pvctl/%.o)
THIN_LIBS   = $(foreach l,xencall xenforeignmemory xenevtchn xengnttab,$(LIB)/lib$l.so.1)

# lazy.c loads these: by the names that a linker would write down.
LAZY_LIBS  := xenguest xlutil xenlight Zydis
soname      = $(shell objdump -p "$$($(CC) -print-file-name=lib$(1).so)" | sed -n 's/^ *SONAME *//p')
$(B)/pvctl/toolstack/pvctl/lazy.o: HOSTCFLAGS += $(foreach l,$(LAZY_LIBS),-DSONAME_$(l)='"$(call soname,$(l))"')

$(PVCTL_OBJS): $(B)/pvctl/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(HOSTCFLAGS) -c -o $@ $<

$(BIN)/pvctl: $(PVCTL_OBJS) $(VERSION_O) $(THIN_LIBS)
	@mkdir -p $(@D)
	$(CC) $(SANFLAGS) -o $@ $(PVCTL_OBJS) $(VERSION_O) -Wl,--no-as-needed $(THIN_LIBS) -Wl,--as-needed \
		-lxenctrl -lxenstore -lxentoollog \
		-Wl,--disable-new-dtags '-Wl,-rpath,$$ORIGIN/../lib/pavane'

ALL += $(BIN)/pvctl

.PHONY: install-pvctl
install-pvctl: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pavane \
		$(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/include/pavane \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions
	install -m 755 $(BIN)/pvctl $(BIN)/pvdom $(DESTDIR)$(PREFIX)/bin/
	install -m 644 $(B)/guest/pv-guest $(DESTDIR)$(PREFIX)/lib/pavane/
	install -m 644 docs/man/pvctl.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -m 644 hypercalls/abi/pavane/*.h $(DESTDIR)$(PREFIX)/include/pavane/
	install -m 644 toolstack/pvctl/pvctl.bash \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/pvctl
INSTALLS += install-pvctl
