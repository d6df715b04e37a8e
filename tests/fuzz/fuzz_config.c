/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a config.json: refused with a reason, or a shape that the
 * graph can be built for. */
#include <stdint.h>
#include <stdlib.h>

#include "model/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int sane(const pf_config *c)
{
    return c->V > 0 && c->C > 0 && c->I > 0 && c->max_pos > 0 && c->L > 0 &&
           c->L <= PF_MAX_LAYERS && c->D > 0 && c->G > 0 && c->H > 0 &&
           c->H % c->G == 0 && c->eps > 0 && c->json && c->json_n > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pf_config c;
    pf_ident id = {0};
    pf_err e = PF_ERR_INIT;
    int rc = pf_config_of_json(&c, (pf_slice){(const char *)data, size},
                               "config.json", &e);
    if (rc) {
        if ((rc != PF_E_FORMAT && rc != PF_E_USAGE) || !e.msg[0])
            abort();
        return 0;
    }
    if (!sane(&c) || pf_config_identity(&c, &id, NULL) < 0)
        abort();
    pf_ident_release(&id);
    pf_config_release(&c);
    return 0;
}
