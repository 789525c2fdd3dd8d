/* The document by which a host is enrolled: what its TPM and its agent are known by. Nothing in it is secret.
 */
#ifndef LH_AGENT_DOCUMENT_H
#define LH_AGENT_DOCUMENT_H

#include "base/limits.h"
#include "tpm/tpm.h"

#define LH_AGENT_DOCUMENT_MAX 65536u

/* Append it: {"ek": base64 of the endorsement key's TPMT_PUBLIC, "ek_certificates": [base64 of DER], "ak":
 * base64 of the attestation key's TPMT_PUBLIC, "channel_key": "sha256:…"} and a line end.
 * The endorsement key is lh_tpm_ek_choose's. channel_key: SHA-256 of its SubjectPublicKeyInfo.
 * Blocks on the TPM; its errors. */
LH_MUST lh_err lh_agent_document(lh_tpm *tpm, const uint8_t channel_key[32], lh_buf *ret);

/* Which of the TPM's endorsement keys a credential was made for, by the length of its encrypted secret (a
 * marshalled TPM2B_ENCRYPTED_SECRET): LH_TPM_EK_…; 0 for none. */
uint16_t lh_agent_ek_kind(lh_bytes encrypted_secret);

#endif
