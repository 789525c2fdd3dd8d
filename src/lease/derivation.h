/* Which key a lease gives: the context that the parent's secret is derived with, and the key's public name.
 * docs/decisions/0004-derivation.md explains the encoding. */
#ifndef LH_LEASE_DERIVATION_H
#define LH_LEASE_DERIVATION_H

#include "crypto/derive.h"
#include "lease/lease.h"

typedef struct {
    const uint8_t *vault; /* 32 bytes */
    const char *role;
    const char *parent;
    uint32_t parent_version;
    enum lh_lease_per per;
    const char *workload;    /* what a per: workload key belongs to */
    const uint8_t *lease_id; /* LH_LEASE_ID_SIZE bytes: what a per: lease key belongs to; else NULL */
    enum lh_key_kind kind;
} lh_derivation;

/* Append the context. Two derivations that differ anywhere give different contexts. */
LH_MUST lh_err lh_derivation_context(const lh_derivation *derivation, lh_buf *ret);

/* CKA_ID of the key: for per: workload a hash of the context, for per: lease the lease's id. */
LH_MUST lh_err lh_derivation_key_id(
    lh_crypto *c, const lh_derivation *derivation, uint8_t ret[LH_LEASE_ID_SIZE]);

/* The key itself. parent: the parent's secret. */
LH_MUST lh_err lh_derivation_key(
    lh_crypto *c, const lh_derivation *derivation, const lh_secret *parent, lh_key **ret);

#endif
