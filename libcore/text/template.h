/* SPDX-License-Identifier: MIT
 *
 * Chat templates: a message list -> bytes, with every byte marked.
 *
 * Spans say which bytes are the template's own (special tokens in them are
 * parsed) and which came from content (they are not: a user who types
 * "<|im_end|>" gets plain text), and which carry loss when a conversation is
 * trained on (assistant turns with their end mark). */
#ifndef PF_TEXT_TEMPLATE_H
#define PF_TEXT_TEMPLATE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/str.h"
#include "data/record.h"

typedef struct pf_template pf_template;

typedef struct pf_tmpl_span {
    size_t start, end; /* bytes of the rendered text */
    bool content;      /* from a message, not from the template */
    bool loss;         /* part of an assistant turn */
} pf_tmpl_span;

/* Result of a rendering; zero-initialise, reuse, release. Spans cover the
 * text in order without gaps. */
typedef struct pf_rendered {
    pf_buf text;
    pf_tmpl_span *span;
    size_t n_span, cap_span;
    /* work memory, kept from call to call */
    pf_arena arena;
    pf_json *json;
} pf_rendered;
void pf_rendered_release(pf_rendered *r);

/* Compiles the source of a Jinja template (as transformers renders it: with
 * trim_blocks and lstrip_blocks). name is used in messages ("line:column").
 * PF_E_USAGE for a construct outside the supported subset, naming it: tags
 * if, for, set, macro, generation, break, continue; the operators, filters,
 * tests, methods and functions listed in tmpl_expr.c. */
PF_MUST_CHECK int pf_template_new(pf_template **out, pf_slice source,
                                  const char *name, pf_err *e);
void pf_template_free(pf_template *t);
/* SHA-256 of the source, for the recipe. */
void pf_template_digest(const pf_template *t, uint8_t out[PF_SHA256_BYTES]);

typedef struct pf_render_args {
    const pf_message *msg;
    size_t n_msg;
    pf_slice tools;  /* raw JSON, or {NULL, 0} */
    pf_slice kwargs; /* raw JSON object chat_template_kwargs, or {NULL, 0} */
    bool add_generation_prompt;
    /* Find the assistant turns: by the template's generation tags; without
     * any by rendering the conversation up to each turn, which must be a
     * prefix of the whole. PF_E_FORMAT when it is not. */
    bool mark_loss;
    pf_slice bos, eos; /* token texts the template may print */
} pf_render_args;

/* Replaces *out. 0, or PF_E_FORMAT when the template raised or met data it
 * cannot render (a row's fault), PF_E_LIMIT over its bounds. Thread-safe. */
PF_MUST_CHECK int pf_template_render(const pf_template *t,
                                     const pf_render_args *a,
                                     pf_rendered *out, pf_err *e);

#endif
