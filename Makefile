# prefkit: one Makefile. `make help` lists the targets.
#
# MODE=rel|dev|asan|tsan|cov|fuzz builds into build/$(MODE)/; rel is the
# default. A change of flags rebuilds what it touches (the .flags stamp).

MODE    ?= rel
B       := build/$(MODE)
PREFIX  ?= /usr/local
DESTDIR ?=
VERSION := 0.1.0

CC_rel  := gcc
CC_dev  := gcc
CC_asan := gcc
CC_tsan := gcc
CC_cov  := gcc
CC_fuzz := clang-14
ifeq ($(origin CC),default)
CC := $(CC_$(MODE))
endif

STD     := -std=c11 -D_DEFAULT_SOURCE -D_POSIX_C_SOURCE=200809L
WARN    := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
           -Wpointer-arith -Wwrite-strings -Wundef -Wvla -Wformat=2
OPT_rel  := -O2 -g -DNDEBUG
OPT_dev  := -O1 -g -DPF_DEV -Werror
OPT_asan := -O1 -g -DPF_DEV -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined
OPT_tsan := -O1 -g -DPF_DEV -fsanitize=thread
OPT_cov  := -O0 -g -DPF_DEV --coverage
OPT_fuzz := -O1 -g -DPF_DEV -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
CFLAGS  ?=
LDFLAGS ?=
ALL_CFLAGS := $(STD) $(WARN) $(OPT_$(MODE)) -ffp-contract=off -pthread -fvisibility=hidden \
              -Ilibcore -I. -DPF_VERSION='"$(VERSION)"' $(CFLAGS)
LIBS    := -lpcre2-8 -lisal -lz -lzstd -lyaml -lcrypto -lutf8proc -lm -pthread -ldl
# A tool loads only the libraries that it calls.
ALL_LDFLAGS := -Wl,--as-needed $(filter -fsanitize=% --coverage,$(OPT_$(MODE))) $(LDFLAGS)

# Files named *_avx2.c and *_avx512.c are compiled for that ISA and reached
# through run-time dispatch only.
ISA_avx2   := -mavx2 -mfma -mbmi -mbmi2 -mpclmul
ISA_avx512 := -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vbmi $(ISA_avx2)
isa = $(if $(filter %_avx512.o,$@),$(ISA_avx512),$(if $(filter %_avx2.o,$@),$(ISA_avx2)))

TOOLS   := $(sort $(patsubst tools/%.c,%,$(filter-out tools/tool%.c tools/opt%.c tools/%_int.c,$(wildcard tools/*.c))))
TOOL_COMMON := $(wildcard tools/tool*.c tools/opt*.c tools/*_int.c)
LIB_SRC := $(sort $(wildcard libcore/*/*.c formats/*.c)) $(TOOL_COMMON)
LIB_OBJ := $(LIB_SRC:%.c=$B/%.o)
LIB     := $B/libprefkit.a
BINS    := $(TOOLS:%=$B/bin/%)
TESTS   := $(patsubst tests/unit/%.c,$B/tests/%,$(wildcard tests/unit/t_*.c))
FUZZERS := $(patsubst tests/fuzz/%.c,$B/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
BENCHES := $(patsubst tests/bench/%.c,$B/bench/%,$(wildcard tests/bench/bench_*.c))
HEADERS := $(wildcard libcore/*/*.h formats/*.h)
PUBLIC  := $(filter-out %_int.h,$(HEADERS))
MAN1    := $(wildcard docs/man/*.1)
MAN5    := $(wildcard docs/man/*.5)
ALL_SHELL   := $(sort $(wildcard $(addprefix tests/,golden/*.sh accept/*.sh reject/*.sh diff/*.sh fault/*.sh mutants/*.sh)))
LONG_TESTS  := $(foreach t,$(ALL_SHELL),$(if $(findstring /long_,$t),$t))
SHELL_TESTS := $(filter-out $(LONG_TESTS),$(ALL_SHELL))
# The longest jobs first, so that none is left running alone at the end.
SLOW_TESTS  := $(filter %/t_train %/t_trajectory %/t_shard_damage %/t_score,$(TESTS:$B/%=build/asan/%))

PACKAGES := gcc libc6-dev make pkg-config libpcre2-dev libxxhash-dev libzstd-dev zlib1g-dev \
            libisal-dev libyaml-dev libssl-dev libutf8proc-dev mandoc
DEPS   ?= 1
JOBS   ?= $(shell nproc 2>/dev/null || echo 2)
PYTHON ?= python3
SHARED ?= ../shared
# Recursive builds use all cores unless the caller said how many.
SUB     = +@$(MAKE) --no-print-directory $(if $(findstring j,$(firstword -$(MAKEFLAGS))),,-j$(JOBS))
RUN     = @JOBS=$(JOBS) sh tests/run.sh

.PHONY: all help deps demo test unit lint check-long check-peers bench fuzz fuzz-replay \
        sample-model install config clean FORCE
.PRECIOUS: $B/%.o
all: $(BINS) ## build the tools into build/$(MODE)/bin (default)

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' Makefile
	@echo 'variables: MODE=rel|dev|asan|tsan|cov|fuzz PREFIX= DESTDIR= DEPS=0 JOBS=N PYTHON= SHARED='

deps: ## install missing Debian packages (says what and why first; DEPS=0: never)
	@DEPS=$(DEPS) sh tests/deps.sh $(PACKAGES)

# --- building

$B/.flags: FORCE
	@mkdir -p $(@D); echo '$(CC) $(ALL_CFLAGS) $(LIBS)' | cmp -s - $@ || echo '$(CC) $(ALL_CFLAGS) $(LIBS)' > $@

$B/%.o: %.c $B/.flags
	@mkdir -p $(@D); echo "CC $<"; $(CC) $(ALL_CFLAGS) $(isa) -MMD -MP -c -o $@ $<

# The list of objects is a prerequisite by content: a removed file leaves too.
$B/.objects: FORCE
	@mkdir -p $(@D); echo '$(LIB_OBJ)' | cmp -s - $@ || echo '$(LIB_OBJ)' > $@

$(LIB): $(LIB_OBJ) $B/.objects
	@rm -f $@; ar rcs $@ $(LIB_OBJ)

$B/bin/%: $B/tools/%.o $(LIB)
	@mkdir -p $(@D); echo "LD $@"; $(CC) $(ALL_LDFLAGS) -o $@ $< $(LIB) $(LIBS)

$B/tests/%: $B/tests/unit/%.o $(LIB)
	@mkdir -p $(@D); echo "LD $@"; $(CC) $(ALL_LDFLAGS) -o $@ $< $(LIB) $(LIBS)

$B/bench/%: $B/tests/bench/%.o $(LIB)
	@mkdir -p $(@D); echo "LD $@"; $(CC) $(ALL_LDFLAGS) -o $@ $< $(LIB) $(LIBS)

# Fuzz targets run under libFuzzer in MODE=fuzz and over files elsewhere.
FUZZ_MAIN := $(if $(filter fuzz,$(MODE)),-fsanitize=fuzzer,$B/tests/fuzz/replay.o)
$B/fuzz/%: $B/tests/fuzz/%.o $(filter %.o,$(FUZZ_MAIN)) $(LIB)
	@mkdir -p $(@D); echo "LD $@"; $(CC) $(ALL_LDFLAGS) -o $@ $< $(FUZZ_MAIN) $(LIB) $(LIBS)

# --- checking

demo: ## install what is missing, build, and run the whole pipe on samples/
	$(SUB) deps
	$(SUB) all
	@BIN=$(CURDIR)/$B/bin sh samples/demo.sh

test: ## install what is missing, build, and run all tests (under five minutes)
	$(SUB) deps
	$(SUB) MODE=rel all build-tests
	$(SUB) MODE=asan build-tests
	$(RUN) $(SLOW_TESTS) $(SHELL_TESTS) tests/lint/lint.sh $(TESTS) \
	    $(filter-out $(SLOW_TESTS),$(TESTS:$B/%=build/asan/%)) $(FUZZERS:$B/%=build/asan/%)

.PHONY: build-tests
build-tests: $(TESTS) $(if $(filter rel,$(MODE)),,$(FUZZERS))

unit: $(if $T,$B/tests/t_$T,$(TESTS)) ## build and run the unit tests of this MODE (T=name for one)
	$(RUN) $(if $T,$B/tests/t_$T,$(TESTS))

lint: all ## layers, headers, sizes, banned functions, man pages
	$(RUN) tests/lint/lint.sh

fuzz-replay: $(FUZZERS) ## run the fuzz corpora through this MODE's targets
	$(RUN) $(FUZZERS)

fuzz: ## fuzz each parser for SECONDS_EACH=60 (clang-14, libclang-rt-14-dev)
	$(SUB) MODE=fuzz fuzz-targets
	@for f in $(FUZZERS:$B/%=build/fuzz/%); do n=$${f##*/fuzz_}; \
	    mkdir -p build/fuzz/corpus/$$n tests/fuzz/corpus/$$n; echo "fuzz $$n"; \
	    $$f -max_total_time=$${SECONDS_EACH:-60} -timeout=10 -print_final_stats=0 -verbosity=0 \
	        -artifact_prefix=build/fuzz/$$n- build/fuzz/corpus/$$n tests/fuzz/corpus/$$n || exit 1; done

.PHONY: fuzz-targets
fuzz-targets: $(FUZZERS)

check-long: ## mutants, 100 random kills, all flips and truncations (tens of minutes)
	$(SUB) MODE=rel all build-tests
	@JOB_TIMEOUT=3600 JOBS=$(JOBS) sh tests/run.sh $(LONG_TESTS)

check-peers: all ## compare with Python peers (PYTHON=venv/bin/python; tests/README.md)
	@set -e; for f in $(wildcard tests/diff/check_*.py); do echo "== $$f"; \
	    BIN=$(CURDIR)/$B/bin SHARED=$(SHARED) $(PYTHON) $$f; done

bench: $(BENCHES) all ## measure; docs/PERFORMANCE.md says what and how
	@set -e; for b in $(BENCHES); do echo "== $$b"; BIN=$(CURDIR)/$B/bin SHARED=$(SHARED) $$b; done

sample-model: all ## train samples/tiny-hh again from SHARED=../shared
	@BIN=$(CURDIR)/$B/bin SHARED=$(SHARED) sh samples/sample_model.sh

# --- installing

D := $(DESTDIR)$(PREFIX)
install: all ## install tools, man pages, completion, headers, library, .pc into PREFIX
	@install -d $D/bin $D/lib/pkgconfig $D/include/prefkit $D/share/man/man1 \
	    $D/share/man/man5 $D/share/bash-completion/completions
	install -m 755 $(BINS) $D/bin
	install -m 644 $(LIB) $D/lib
	@for h in $(PUBLIC); do install -D -m 644 $$h $D/include/prefkit/$${h#libcore/}; done
	@for t in $(TOOLS); do $B/bin/$$t --help-completion > $D/share/bash-completion/completions/$$t; done
	@$(if $(MAN1),install -m 644 $(MAN1) $D/share/man/man1)
	@$(if $(MAN5),install -m 644 $(MAN5) $D/share/man/man5)
	@printf '%s\n' 'prefix=$(PREFIX)' 'Name: prefkit' 'Description: preference data and training' \
	    'Version: $(VERSION)' 'Cflags: -I$${prefix}/include/prefkit -pthread' \
	    'Libs: -L$${prefix}/lib -lprefkit $(LIBS)' > $D/lib/pkgconfig/prefkit.pc

config: ## print how this MODE is built
	@printf '%s\n' 'mode: $(MODE)' 'cc: $(CC)' 'cflags: $(ALL_CFLAGS)' 'ldflags: $(ALL_LDFLAGS)' \
	    'libs: $(LIBS)' 'tools: $(TOOLS)' 'packages: $(PACKAGES)'

clean: ## remove build/
	rm -rf build

-include $(shell find $B -name '*.d' 2>/dev/null)
