#include "lease/derivation.h"

#include "codec/bin.h"
#include "crypto/hash.h"

lh_err lh_derivation_context(const lh_derivation *d, lh_buf *ret)
{
    lh_put_str(ret, "leasehold-context-v1");
    lh_put_raw(ret, d->vault, 32);
    lh_put_str(ret, d->role);
    lh_put_str(ret, d->parent);
    lh_put_u32(ret, d->parent_version);
    lh_put_u8(ret, (uint8_t)d->per);
    if (d->per == LH_PER_WORKLOAD)
        lh_put_str(ret, d->workload);
    else
        lh_put_blob(ret, LH_BYTES(d->lease_id, LH_LEASE_ID_SIZE));
    lh_put_u8(ret, (uint8_t)d->kind);
    return lh_buf_status(ret);
}

lh_err lh_derivation_key_id(lh_crypto *c, const lh_derivation *d, uint8_t ret[LH_LEASE_ID_SIZE])
{
    if (d->per == LH_PER_LEASE) {
        memcpy(ret, d->lease_id, LH_LEASE_ID_SIZE);
        return LH_SUCCESS;
    }
    LH_AUTO(lh_buf_free) lh_buf context = LH_BUF_INIT(LH_DERIVE_CONTEXT_MAX);
    LH_TRY(lh_derivation_context(d, &context));
    const lh_bytes parts[] = {LH_BYTES_STR("leasehold-key-id-v1"), lh_buf_bytes(&context)};
    uint8_t hash[LH_SHA256_SIZE];
    LH_TRY(lh_sha256(c, parts, LH_ARRAY_LEN(parts), hash));
    memcpy(ret, hash, LH_LEASE_ID_SIZE);
    return LH_SUCCESS;
}

lh_err lh_derivation_key(lh_crypto *c, const lh_derivation *d, const lh_secret *parent, lh_key **ret)
{
    LH_AUTO(lh_buf_free) lh_buf context = LH_BUF_INIT(LH_DERIVE_CONTEXT_MAX);
    LH_TRY(lh_derivation_context(d, &context));
    return lh_key_derive(c, parent, lh_buf_bytes(&context), d->kind, ret);
}
