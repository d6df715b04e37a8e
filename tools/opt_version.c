/* SPDX-License-Identifier: MIT
 *
 * --version: what this build can do, for which machine, with what libraries.
 *
 * Library versions are those of the headers it was built with: asking the
 * libraries themselves would link all of them into every tool and slow its
 * start. */
#define PCRE2_CODE_UNIT_WIDTH 8

#include "tools/opt_int.h"

#include <isa-l.h>
#include <openssl/opensslv.h>
#include <pcre2.h>
#include <utf8proc.h>
#include <xxhash.h>
#include <yaml.h>
#include <zlib.h>
#include <zstd.h>

static const char *isa(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl"))
        return "x86-64 avx512";
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return "x86-64 avx2";
    return "x86-64";
#else
    return "portable";
#endif
}

void pf_opt_version(const pf_tool *t, pf_buf *out)
{
    pf_buf_printf(out, "%s (prefkit) %s\n", t->name, PF_VERSION);
    pf_buf_str(out, "features: gzip zstd json-simd byte-level-bpe chatml "
                    "pair seq unpaired llama gpt2 backend-cpu backend-ref\n");
    pf_buf_printf(out, "isa: %s\n", isa());
#ifdef __VERSION__
    pf_buf_printf(out, "compiler: %s%s\n", __VERSION__,
#ifdef PF_ASAN
                  ", address sanitizer"
#elif defined(PF_DEV)
                  ", development checks"
#else
                  ""
#endif
    );
#endif
    pf_buf_printf(out,
                  "libraries: pcre2 %d.%d, xxhash %d.%d.%d, zstd %s, zlib %s, "
                  "isa-l %d.%d.%d, libyaml, openssl %d.%d.%d, "
                  "utf8proc %d.%d.%d\n",
                  PCRE2_MAJOR, PCRE2_MINOR, XXH_VERSION_MAJOR,
                  XXH_VERSION_MINOR, XXH_VERSION_RELEASE, ZSTD_VERSION_STRING,
                  ZLIB_VERSION, ISAL_MAJOR_VERSION, ISAL_MINOR_VERSION,
                  ISAL_PATCH_VERSION, OPENSSL_VERSION_MAJOR,
                  OPENSSL_VERSION_MINOR, OPENSSL_VERSION_PATCH,
                  UTF8PROC_VERSION_MAJOR, UTF8PROC_VERSION_MINOR,
                  UTF8PROC_VERSION_PATCH);
}
