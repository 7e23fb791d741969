# meshpipe: consul-watch | mesh-map | k8s-apply.   `make help` lists the targets.

VERSION := 0.1.0
PREFIX  ?= /usr/local
BINDIR  ?= $(PREFIX)/bin
DATADIR ?= $(PREFIX)/share
MANDIR  ?= $(DATADIR)/man

PROGRAMS := consul-watch mesh-map k8s-apply

# A sanitizer build stands beside the plain one: make SANITIZE=address,undefined
comma := ,
BUILD := build$(if $(SANITIZE),/$(subst $(comma),-,$(SANITIZE)))

CC         ?= cc
PKG_CONFIG ?= pkg-config
LIBS       := libcurl libuv yaml-0.1 libxxhash
# libjq has a .pc file since 1.7 only.
JQ_LIBS    := $(shell $(PKG_CONFIG) --libs libjq 2>/dev/null || echo -ljq)

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings -Wvla \
	-Wformat=2 -Wundef -Wpointer-arith -Wcast-align
HARDEN := -fstack-protector-strong -fstack-clash-protection -fPIE \
	$(if $(SANITIZE),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
OPTIMIZE := $(if $(SANITIZE),-O1 -g -fno-omit-frame-pointer -fsanitize=$(SANITIZE) \
	-fno-sanitize-recover=undefined,-O2 -g)

ALL_CFLAGS  := -std=gnu11 $(OPTIMIZE) $(WARNINGS) $(HARDEN) $(if $(WERROR),-Werror) -D_GNU_SOURCE \
	-DMESHPIPE_VERSION='"$(VERSION)"' -I. $(shell $(PKG_CONFIG) --cflags $(LIBS) 2>/dev/null) $(CFLAGS)
ALL_LDFLAGS := -pie -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed \
	$(if $(SANITIZE),-fsanitize=$(SANITIZE)) $(LDFLAGS)
ALL_LIBS    := $(shell $(PKG_CONFIG) --libs $(LIBS) 2>/dev/null) $(JQ_LIBS) -lm

# make V=1 shows the whole commands.
Q   := $(if $(V),,@)
say  = $(if $(V),,@printf '  %-5s %s\n' $(1) $(2))

OBJ = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
LIB_OBJS := $(call OBJ,$(wildcard lib/*.c))
ALL_SOURCES := $(wildcard lib/*.c $(PROGRAMS:%=%/*.c) tests/unit/*.c)
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))
BINARIES := $(PROGRAMS:%=$(BUILD)/bin/%)
FILTERS := $(BUILD)/share/meshpipe/filters

all: $(BINARIES) $(FILTERS) ## build the three programs into build/bin

# Changed flags rebuild.
$(shell mkdir -p $(BUILD) && echo '$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS)' | cmp -s - $(BUILD)/flags || \
	echo '$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS)' > $(BUILD)/flags)

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

define PROGRAM
$(BUILD)/bin/$(1): $(call OBJ,$(wildcard $(1)/*.c)) $(LIB_OBJS)
	@mkdir -p $$(@D)
	$$(call say,LD,$$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $$@ $$^ $(ALL_LIBS)
endef
$(foreach p,$(PROGRAMS),$(eval $(call PROGRAM,$(p))))

# The default program is looked for in ../share/meshpipe/filters, installed or not.
$(FILTERS): | $(BUILD)
	@mkdir -p $(@D)
	$(Q)ln -sfn $(CURDIR)/mesh-map/filters $@
$(BUILD):
	@mkdir -p $@

# A unit test links everything but the mains.
UNIT_OBJS := $(LIB_OBJS) $(call OBJ,$(filter-out %/main.c,$(wildcard $(PROGRAMS:%=%/*.c))))
$(BUILD)/tests/%: $(BUILD)/obj/tests/unit/%.o $(UNIT_OBJS)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(ALL_LIBS) -lcmocka

unit: $(UNIT_TESTS)

demo: ## install what is missing, build, and show the pipe on a real Consul
	scripts/install-deps build demo
	$(MAKE) --no-print-directory -j2 all
	MESHPIPE_BIN=$(BUILD)/bin scripts/demo

test: ## install what is missing, build, and run every test (STRICT=1: nothing may be skipped)
	scripts/install-deps build test
	$(MAKE) --no-print-directory -j2 all unit
	BUILD=$(BUILD) MESHPIPE_BIN=$(BUILD)/bin tests/run $(if $(STRICT),--strict) $(TIERS)

lint: ## formatting, static analysis, shell scripts, man pages against --help
	scripts/install-deps build test lint
	$(MAKE) --no-print-directory -j2 all
	scripts/lint

format: ## clang-format all C files in place
	clang-format -i $(ALL_SOURCES) $(wildcard lib/*.h $(PROGRAMS:%=%/*.h))

install: all ## install programs, filters, man pages and the supervisor (DESTDIR, PREFIX)
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(DATADIR)/meshpipe/filters $(DESTDIR)$(MANDIR)/man1 \
		$(DESTDIR)$(MANDIR)/man5
	install -m 755 $(BINARIES) scripts/meshpipe $(DESTDIR)$(BINDIR)
	install -m 644 $(wildcard mesh-map/filters/*.jq) $(DESTDIR)$(DATADIR)/meshpipe/filters
	install -m 644 $(wildcard docs/*.1) $(DESTDIR)$(MANDIR)/man1
	install -m 644 $(wildcard docs/*.5) $(DESTDIR)$(MANDIR)/man5

uninstall: ## remove what install put there
	rm -f $(PROGRAMS:%=$(DESTDIR)$(BINDIR)/%) $(DESTDIR)$(BINDIR)/meshpipe
	rm -rf $(DESTDIR)$(DATADIR)/meshpipe
	rm -f $(patsubst docs/%,$(DESTDIR)$(MANDIR)/man1/%,$(wildcard docs/*.1)) \
		$(patsubst docs/%,$(DESTDIR)$(MANDIR)/man5/%,$(wildcard docs/*.5))

clean: ## remove build/ (fetched servers are kept in the cache)
	rm -rf build

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: all unit demo test lint format install uninstall clean help
.SECONDARY:
-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
