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
LIBS       := libcurl libuv yaml-0.1 libxxhash libcrypto libmicrohttpd zlib
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
ALL_SOURCES := $(wildcard lib/*.c $(PROGRAMS:%=%/*.c) tests/unit/*.c tests/fuzz/*.c \
	tests/bench/*.c)
FUZZ_TARGETS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c)) \
	$(FUZZ_TARGETS:%=$(BUILD)/tests/test_fuzz_%)
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

# A fuzz target with the main that gives it its corpus: one of the unit tests.
$(BUILD)/tests/test_fuzz_%: $(BUILD)/obj/tests/fuzz/fuzz_%.o $(BUILD)/obj/tests/fuzz/replay.o $(UNIT_OBJS)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(ALL_LIBS)

# The same with libFuzzer's main, which only clang has.
$(BUILD)/fuzz/%: $(BUILD)/obj/tests/fuzz/fuzz_%.o $(UNIT_OBJS)
	@mkdir -p $(@D)/corpus/$*
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(ALL_LIBS)

unit: $(UNIT_TESTS)

demo: ## install what is missing, build, and show the pipe on a real Consul
	scripts/install-deps build demo
	$(MAKE) --no-print-directory -j2 all
	MESHPIPE_BIN=$(BUILD)/bin scripts/demo

test: ## install what is missing, build, and run every test (STRICT=1: nothing may be skipped)
	scripts/install-deps build test
	$(MAKE) --no-print-directory -j2 all unit
	BUILD=$(BUILD) MESHPIPE_BIN=$(BUILD)/bin tests/run $(if $(STRICT),--strict) $(TIERS)

$(BUILD)/bench/%: $(BUILD)/obj/tests/bench/%.o
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(ALL_LIBS)

bench: export BUILD := $(BUILD)
bench: export MESHPIPE_BIN := $(BUILD)/bin
bench: ## install what is missing, build, and measure on real servers (numbers, no test)
	scripts/install-deps build test
	$(MAKE) --no-print-directory -j2 all $(BUILD)/bench/raw-apply
	tests/bench/latency
	tests/bench/latency --services 1000 --instances 2 --https
	tests/bench/first-sync --services 200
	tests/bench/apply --objects 2000
	tests/bench/watch --changes 50
	tests/bench/watch --changes 50 --services 1000
	tests/bench/watch --changes 50 --services 1000 --https
	tests/bench/map

FUZZ_S ?= 60
fuzz: ## install what is missing, build, and fuzz each target for FUZZ_S seconds (60)
	scripts/install-deps build fuzz
	$(MAKE) --no-print-directory -j2 CC=clang SANITIZE=fuzzer-no-link,address,undefined \
		$(FUZZ_TARGETS:%=fuzz-%)

# What is found beyond the seeds stays in the build folder; a crash is copied to the seeds by hand.
fuzz-%: $(BUILD)/fuzz/%
	$< -max_total_time=$(FUZZ_S) -max_len=4096 -timeout=20 -artifact_prefix=$<- -print_final_stats=1 \
		$(<D)/corpus/$* tests/fuzz/corpus/$*

lint: ## formatting, static analysis, shell scripts, man pages against --help
	scripts/install-deps build test lint
	$(MAKE) --no-print-directory -j2 all
	scripts/lint

format: ## clang-format all C files in place
	clang-format -i $(ALL_SOURCES) $(wildcard lib/*.h $(PROGRAMS:%=%/*.h) tests/unit/*.h \
		tests/fuzz/*.h)

install: all ## install programs, filters, man pages and the supervisor (DESTDIR, PREFIX)
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(DATADIR)/meshpipe/filters $(DESTDIR)$(MANDIR)/man1 \
		$(DESTDIR)$(MANDIR)/man5 $(DESTDIR)$(MANDIR)/man7
	install -m 755 $(BINARIES) scripts/meshpipe $(DESTDIR)$(BINDIR)
	install -m 644 $(wildcard mesh-map/filters/*.jq mesh-map/filters/mesh.*) $(DESTDIR)$(DATADIR)/meshpipe/filters
	install -m 644 $(wildcard docs/*.1) $(DESTDIR)$(MANDIR)/man1
	install -m 644 $(wildcard docs/*.5) $(DESTDIR)$(MANDIR)/man5
	install -m 644 $(wildcard docs/*.7) $(DESTDIR)$(MANDIR)/man7

uninstall: ## remove what install put there
	rm -f $(PROGRAMS:%=$(DESTDIR)$(BINDIR)/%) $(DESTDIR)$(BINDIR)/meshpipe
	rm -rf $(DESTDIR)$(DATADIR)/meshpipe
	rm -f $(patsubst docs/%,$(DESTDIR)$(MANDIR)/man1/%,$(wildcard docs/*.1)) \
		$(patsubst docs/%,$(DESTDIR)$(MANDIR)/man5/%,$(wildcard docs/*.5)) \
		$(patsubst docs/%,$(DESTDIR)$(MANDIR)/man7/%,$(wildcard docs/*.7))

clean: ## remove build/ (fetched servers are kept in the cache)
	rm -rf build

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: all unit demo test bench fuzz lint format install uninstall clean help
.SECONDARY:
-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
