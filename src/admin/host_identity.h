/* The reader of a host's identity document (codec/host_identity.h). */
#ifndef LH_ADMIN_HOST_IDENTITY_H
#define LH_ADMIN_HOST_IDENTITY_H

#include "base/limits.h"
#include "codec/host_identity.h"

/* Decoded; owned. */
typedef struct {
    lh_buf ek;
    lh_buf ak;
    size_t n_certificates;
    lh_buf certificates[LH_LIMIT_EK_CERTIFICATES];
    uint8_t channel_key[32];
} lh_host_document;

/* Any bytes are safe to pass; keys and certificates are not looked into.
 * ret: to be cleared; untouched on error.
 * Errors: LH_E_LIMIT "identity-size"; LH_E_INVALID "identity-format" (not JSON of that shape, or not base64
 * or hex where it ought to be), those of lh_admin_check; LH_E_NOMEM. Any thread. */
LH_MUST lh_err lh_host_document_parse(lh_bytes json, lh_host_document *ret);
/* Takes one that is all zeros, too. */
void lh_host_document_clear(lh_host_document *document);

#endif
