# SPDX-License-Identifier: MIT
# The four libraries that stand in for /dev/xen/*: same soname, same symbol versions as Xen's.
XENLIBS        := xencall xenforeignmemory xenevtchn xengnttab
XENLIB_CFLAGS   = $(HOSTCFLAGS) -fPIC -D__XEN_TOOLS__ -include stdint.h
XENLIB_O       := $(B)/toolstack/xenlibs
XENLIB_FILES   := $(XENLIBS:%=$(LIB)/lib%.so.1) $(XENLIBS:%=$(LIB)/lib%.so)
XENLIB_SRCS    := $(wildcard toolstack/xenlibs/*.c)

$(XENLIB_SRCS:%.c=$(B)/%.o): $(B)/%.o: %.c toolstack/xenlibs/module.mk
	@mkdir -p $(@D)
	$(CC) $(XENLIB_CFLAGS) -c -o $@ $<

$(LIB)/libxencall.so.1:          $(XENLIB_O)/call.o
$(LIB)/libxenforeignmemory.so.1: $(XENLIB_O)/foreignmemory.o
$(LIB)/libxenevtchn.so.1:        $(XENLIB_O)/evtchn.o
$(LIB)/libxengnttab.so.1:        $(XENLIB_O)/gnttab.o $(XENLIB_O)/gntshr.o

$(XENLIBS:%=$(LIB)/lib%.so.1): $(LIB)/lib%.so.1: toolstack/xenlibs/%.map $(XENLIB_O)/conn.o
	@mkdir -p $(@D)
	$(CC) $(SANFLAGS) -shared -Wl,-z,now -Wl,-soname,$(@F) -Wl,--version-script=$< \
		-o $@ $(filter %.o,$^) -lxentoolcore -lpthread

$(XENLIBS:%=$(LIB)/lib%.so): %.so: %.so.1
	ln -sf $(<F) $@

$(LIB)/pavane-asroot.so: $(XENLIB_O)/asroot.o
	@mkdir -p $(@D)
	$(CC) -shared -o $@ $^

ALL += $(XENLIB_FILES) $(LIB)/pavane-asroot.so

.PHONY: install-xenlibs
install-xenlibs: $(XENLIB_FILES) $(LIB)/pavane-asroot.so
	install -d $(DESTDIR)$(PREFIX)/lib/pavane
	install -m 755 $(XENLIBS:%=$(LIB)/lib%.so.1) $(LIB)/pavane-asroot.so \
		$(DESTDIR)$(PREFIX)/lib/pavane/
INSTALLS += install-xenlibs
