/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a chat template: refused, or it renders a short conversation
 * within its bounds, into spans that cover the text. */
#include <stdlib.h>

#include "base/utf8.h"
#include "text/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define S(text) {text, sizeof(text) - 1}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const pf_message talk[] = {
        {S("user"), S(" a\u00e9 "), {NULL, 0}, true},
        {S("assistant"), S("b"),
         S("{\"role\":\"assistant\",\"content\":\"b\",\"n\":[1,{\"x\":2}]}"),
         false},
    };
    pf_template *t;
    pf_rendered r = {0};
    if (size > 4096 || !pf_utf8_valid((const char *)data, size) ||
        pf_template_new(&t, (pf_slice){(const char *)data, size}, "t", NULL))
        return 0;
    for (int i = 0; i < 2; i++) {
        pf_render_args a = {.msg = talk,
                            .n_msg = 2,
                            .add_generation_prompt = i == 0,
                            .mark_loss = i == 1,
                            .bos = PF_LIT("<s>")};
        if (pf_template_render(t, &a, &r, NULL) < 0)
            continue;
        size_t at = 0;
        for (size_t k = 0; k < r.n_span; k++) {
            if (r.span[k].start != at || r.span[k].end <= at)
                abort();
            at = r.span[k].end;
        }
        if (at != r.text.n)
            abort();
    }
    pf_rendered_release(&r);
    pf_template_free(t);
    return 0;
}
