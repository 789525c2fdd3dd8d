/* The parameters of host.enrol, from a host's identity document. */
#ifndef LH_TOOLS_HOST_PARAMS_H
#define LH_TOOLS_HOST_PARAMS_H

#include "admin/client.h"
#include "admin/host_identity.h"

typedef struct {
    const char *name;
    bool pinned;           /* the officers vouch for the TPM's key; else its manufacturer does */
    json_t *labels;        /* an object of texts; borrowed */
    const char *reference; /* NULL: none */
} host_params;

/* LH_E_INVALID where a text is not UTF-8; LH_E_NOMEM. ret: the caller's. */
LH_MUST lh_err host_params_make(const host_params *given, const lh_host_document *document, json_t **ret);

#endif
