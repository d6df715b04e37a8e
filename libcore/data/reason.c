/* SPDX-License-Identifier: MIT */
#include "data/reason.h"

#include <string.h>

static const struct {
    const char *name;
    bool damage;
} table[PF_REASON_COUNT] = {
    [PF_KEPT] = {"kept", false},
    [PF_REASON_INVALID_UTF8] = {"invalid_utf8", true},
    [PF_REASON_INVALID_JSON] = {"invalid_json", true},
    [PF_REASON_LINE_TOO_LONG] = {"line_too_long", true},
    [PF_REASON_NOT_AN_OBJECT] = {"not_an_object", true},
    [PF_REASON_MISSING_FIELD] = {"missing_field", true},
    [PF_REASON_WRONG_TYPE] = {"wrong_type", true},
    [PF_REASON_BAD_ID] = {"bad_id", true},
    [PF_REASON_EMPTY_PROMPT] = {"empty_prompt", false},
    [PF_REASON_EMPTY_CHOSEN] = {"empty_chosen", false},
    [PF_REASON_EMPTY_REJECTED] = {"empty_rejected", false},
    [PF_REASON_EMPTY_COMPLETION] = {"empty_completion", false},
    [PF_REASON_PROMPT_MISMATCH] = {"prompt_mismatch", false},
    [PF_REASON_IDENTICAL_PAIR] = {"identical_pair", false},
    [PF_REASON_NO_MARKER] = {"no_marker", false},
    [PF_REASON_LAST_NOT_ASSISTANT] = {"last_not_assistant", false},
    [PF_REASON_NO_LOSS] = {"no_loss", false},
    [PF_REASON_TOO_LONG] = {"too_long", false},
    [PF_REASON_SPECIAL_TOKEN] = {"special_token", false},
    [PF_REASON_TEMPLATE] = {"template", false},
};

const char *pf_reason_name(pf_reason r)
{
    return table[r].name;
}

bool pf_reason_is_damage(pf_reason r)
{
    return table[r].damage;
}

bool pf_reason_parse(const char *name, pf_reason *out)
{
    for (int i = 0; i < PF_REASON_COUNT; i++) {
        if (strcmp(name, table[i].name) == 0) {
            *out = (pf_reason)i;
            return true;
        }
    }
    return false;
}

void pf_tally_add(pf_tally *sum, const pf_tally *t)
{
    sum->in += t->in;
    for (int i = 0; i < PF_REASON_COUNT; i++)
        sum->count[i] += t->count[i];
    sum->duplicate_keys += t->duplicate_keys;
}

uint64_t pf_tally_damaged(const pf_tally *t)
{
    uint64_t n = 0;
    for (int i = 1; i < PF_REASON_COUNT; i++)
        n += table[i].damage ? t->count[i] : 0;
    return n;
}

uint64_t pf_tally_rejected(const pf_tally *t)
{
    uint64_t n = 0;
    for (int i = 1; i < PF_REASON_COUNT; i++)
        n += t->count[i];
    return n;
}
