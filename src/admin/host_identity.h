/* The reader of a host's identity document: what `leasehold-agent --identity` prints (src/agent/document.h)
 * and `leasehold host enrol` reads:
 *
 *   {"ek": BASE64, "ek_certificates": [BASE64, …], "ak": BASE64, "channel_key": "sha256:HEX"}
 *
 * ek and ak are marshalled TPMT_PUBLIC; the certificates are DER, the endorsement key's own first. Nothing in
 * it is secret, and nothing in it is proved: officers decide on it. */
#ifndef LH_ADMIN_HOST_IDENTITY_H
#define LH_ADMIN_HOST_IDENTITY_H

#include "base/bytes.h"
#include "base/limits.h"

/* Decoded; owned. */
typedef struct {
    lh_buf ek;
    lh_buf ak;
    size_t n_certificates;
    lh_buf certificates[LH_LIMIT_EK_CERTIFICATES];
    uint8_t channel_key[32]; /* SHA-256 of the agent's SubjectPublicKeyInfo */
} lh_host_document;

/* Any bytes are safe to pass; keys and certificates are not looked into.
 * ret: to be cleared; untouched on error.
 * Errors: LH_E_LIMIT "identity-size"; LH_E_INVALID "identity-format" (not JSON of that shape, or not base64
 * or hex where it ought to be), those of lh_admin_check; LH_E_NOMEM. Any thread. */
LH_MUST lh_err lh_host_document_parse(lh_bytes json, lh_host_document *ret);
/* Takes one that is all zeros, too. */
void lh_host_document_clear(lh_host_document *document);

#endif
