/* SPDX-License-Identifier: MIT
 *
 * The one in-memory preference record that all readers and writers speak.
 *
 * Everything a record points to lives in the arena of whoever filled it (or
 * in the source line) and dies with the next record. Text is valid UTF-8. */
#ifndef PF_DATA_RECORD_H
#define PF_DATA_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "data/reason.h"

/* Where a record came from: "_src":"FILE:OFFSET:SUB". FILE is the index of
 * the operand in the full list of the first tool, OFFSET the byte offset in
 * its uncompressed bytes, SUB the sub-row (several rows of one line). */
typedef struct pf_src {
    uint32_t file;   /* < 2^12 */
    uint64_t offset; /* < 2^40 */
    uint32_t sub;    /* < 2^12 */
    bool known;      /* false: the input carried none */
} pf_src;

#define PF_SRC_FILES (1u << 12)
#define PF_SRC_OFFSETS ((uint64_t)1 << 40)
#define PF_SRC_SUBS (1u << 12)

/* The u64 row_id of shards: file << 52 | offset << 12 | sub. Unique, equal
 * under any split of the work, and it finds the source line. */
uint64_t pf_src_row_id(pf_src s);
pf_src pf_src_of_row_id(uint64_t id);
/* "FILE:OFFSET:SUB"; buf holds 40. Returns its length. */
int pf_src_text(pf_src s, char *buf);
bool pf_src_parse(pf_slice s, pf_src *out); /* false when malformed */

/* One chat message. json is the whole object as it stood in the source, so
 * that tool calls and content parts survive; content is {NULL,0} when it is
 * not a string (then a template must read json). */
typedef struct pf_message {
    pf_slice role, content, json;
    bool plain; /* the object holds role and a content string, nothing else */
} pf_message;

/* A text field: a string, or a message list. */
typedef struct pf_text {
    bool present, is_messages;
    pf_slice text; /* when a string */
    /* The same as JSON without the quotes, where the source held just what
     * our writer would write (else {NULL, 0}): it is copied, not escaped. */
    pf_slice raw;
    pf_message *msg;
    size_t n_msg;
} pf_text;

/* A piece of a seq record. */
typedef struct pf_segment {
    pf_slice text;
    bool loss;
} pf_segment;

typedef struct pf_ids {
    uint32_t *id;
    size_t n;
} pf_ids;

typedef enum pf_record_kind {
    PF_RECORD_PAIR,     /* prompt chosen rejected */
    PF_RECORD_SEQ,      /* segments | messages | prompt + completion */
    PF_RECORD_UNPAIRED, /* prompt completion label */
    PF_RECORD_IDS,      /* prompt_ids chosen_ids rejected_ids [ref sums] */
    PF_RECORD_PROMPT,   /* prompt alone (generation) */
    PF_RECORD_KINDS
} pf_record_kind;

const char *pf_record_kind_name(pf_record_kind k);

typedef struct pf_record {
    pf_record_kind kind;
    pf_src src;
    pf_text prompt, chosen, rejected; /* pair */
    pf_text completion;               /* unpaired, prompt + completion */
    pf_text messages;                 /* seq as a conversation */
    pf_segment *segment;              /* seq as pieces */
    size_t n_segment;
    bool label; /* unpaired */
    pf_ids prompt_ids, chosen_ids, rejected_ids;
    bool has_ref; /* imported reference sums of an ids record */
    double ref_chosen, ref_rejected;
    /* optional, raw JSON or {NULL, 0} */
    pf_slice id, source, score_chosen, score_rejected;
    pf_slice tools, chat_template_kwargs, meta;
} pf_record;

/* Reads a record of ours (or a TRL row: explicit, or two conversations whose
 * common beginning is the prompt) from a parsed JSON object. Strings are
 * copied into the arena only when they held escapes; the rest points into the
 * source text, which must outlive the record.
 * 1 = a record; 2 = rejected with *why and `where` naming the field;
 * < 0 = out of memory. */
PF_MUST_CHECK int pf_record_of_json(pf_record *r, pf_jval obj, pf_arena *a,
                                    pf_reason *why, const char **where,
                                    pf_err *e);

/* Reads a text field (string or list of {role, content}) into *out; the same
 * returns. An absent or null field gives present = false and 1. */
PF_MUST_CHECK int pf_text_of_json(pf_text *out, pf_jval v, pf_arena *a,
                                  pf_reason *why, pf_err *e);

/* Appends the record as one JSON object, no LF: fields in the order _src, id,
 * source, prompt, chosen, rejected, completion, label, segments, messages,
 * *_ids, ref_*, score_*, tools, chat_template_kwargs, meta. The error is that
 * of the buffer. */
void pf_record_to_json(const pf_record *r, pf_buf *out);

/* Equality of two text fields: strings bytewise; message lists one by one,
 * plain messages by role and content, others by their JSON bytes. */
bool pf_text_eq(const pf_text *a, const pf_text *b);
bool pf_message_eq(const pf_message *a, const pf_message *b);

/* Nothing but white space (space, tab, CR, LF)? */
bool pf_slice_blank(pf_slice s);
/* A reply that says nothing: blank, no message, or a last message that is
 * plain and blank. */
bool pf_text_blank(const pf_text *t);

/* The rules a record has to obey to be kept, whatever its source: a prompt, a
 * reply on each side, two different replies, replies that end with the
 * assistant. PF_KEPT, or the reason with *where naming the field. */
pf_reason pf_record_check(const pf_record *r, const char **where);

#endif
