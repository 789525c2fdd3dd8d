/* A host's identity document: what `leasehold-agent --identity` prints and `leasehold host enrol` reads:
 *
 *   {"ek": BASE64, "ek_certificates": [BASE64, …], "ak": BASE64, "channel_key": "sha256:HEX"}
 *
 * ek and ak are marshalled TPMT_PUBLIC; the certificates are DER, the endorsement key's own first. Nothing in
 * it is secret, and nothing in it is proved: officers decide on it. */
#ifndef LH_CODEC_HOST_IDENTITY_H
#define LH_CODEC_HOST_IDENTITY_H

#include "base/bytes.h"

typedef struct {
    lh_bytes ek;
    lh_bytes ak;
    const lh_bytes *certificates; /* may be NULL where there are none */
    size_t n_certificates;        /* at most LH_LIMIT_EK_CERTIFICATES */
    uint8_t channel_key[32];      /* SHA-256 of the agent's SubjectPublicKeyInfo */
} lh_host_identity;

/* Append the document, with a line feed at its end. LH_E_LIMIT (out's ceiling: LH_LIMIT_HOST_IDENTITY is
 * enough), LH_E_NOMEM. */
LH_MUST lh_err lh_host_identity_encode(const lh_host_identity *identity, lh_buf *out);

#endif
