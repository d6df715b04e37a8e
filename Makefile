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
OPT_fuzz := -O1 -g -DPF_DEV -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
CFLAGS  ?=
LDFLAGS ?=
ALL_CFLAGS := $(STD) $(WARN) $(OPT_$(MODE)) -ffp-contract=off -pthread -fvisibility=hidden \
              -Ilibcore -I. -DPF_VERSION='"$(VERSION)"' $(CFLAGS)
LIBS    := -lpcre2-8 -lisal -lz -lzstd -lyaml -lcrypto -lutf8proc -lm -pthread -ldl
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

.PHONY: all help test install clean lint FORCE
.PRECIOUS: $B/%.o
all: $(BINS) ## build the tools (default)

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$B/.flags: FORCE
	@mkdir -p $(@D); echo '$(CC) $(ALL_CFLAGS) $(LIBS)' | cmp -s - $@ || echo '$(CC) $(ALL_CFLAGS) $(LIBS)' > $@

$B/%.o: %.c $B/.flags
	@mkdir -p $(@D); echo "CC $<"; $(CC) $(ALL_CFLAGS) $(isa) -MMD -MP -c -o $@ $<

$(LIB): $(LIB_OBJ)
	@rm -f $@; ar rcs $@ $(LIB_OBJ)

$B/bin/%: $B/tools/%.o $(LIB)
	@mkdir -p $(@D); echo "LD $@"; $(CC) $(ALL_LDFLAGS) -o $@ $< $(LIB) $(LIBS)

$B/tests/%: $B/tests/unit/%.o $(LIB)
	@mkdir -p $(@D); echo "LD $@"; $(CC) $(ALL_LDFLAGS) -o $@ $< $(LIB) $(LIBS)

unit: $(TESTS) ## build and run the unit tests of this MODE (T=name for one)
	@sh tests/run_unit.sh $(if $T,$B/tests/t_$T,$(TESTS))

clean: ## remove build/
	rm -rf build

-include $(shell find $B -name '*.d' 2>/dev/null)
