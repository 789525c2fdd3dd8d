#include "crypto/rsa_hash.h"

#include "base/macro.h"
#include "crypto/param.h"

#include <leasehold/pkcs11-3.h>

static const lh_rsa_hash hashes[] = {
    {CKM_SHA_1, CKG_MGF1_SHA1, "SHA1", 20},
    {CKM_SHA224, CKG_MGF1_SHA224, "SHA2-224", 28},
    {CKM_SHA256, CKG_MGF1_SHA256, "SHA2-256", 32},
    {CKM_SHA384, CKG_MGF1_SHA384, "SHA2-384", 48},
    {CKM_SHA512, CKG_MGF1_SHA512, "SHA2-512", 64},
    {CKM_SHA3_224, CKG_MGF1_SHA3_224, "SHA3-224", 28},
    {CKM_SHA3_256, CKG_MGF1_SHA3_256, "SHA3-256", 32},
    {CKM_SHA3_384, CKG_MGF1_SHA3_384, "SHA3-384", 48},
    {CKM_SHA3_512, CKG_MGF1_SHA3_512, "SHA3-512", 64},
};

const char *lh_rsa_take_hashes(lh_bytes *params, const lh_rsa_hash **ret_hash, const lh_rsa_hash **ret_mgf)
{
    uint32_t ckm = 0;
    uint32_t ckg = 0;
    if (!lh_take_u32(params, &ckm) || !lh_take_u32(params, &ckg))
        return "it is malformed";
    const lh_rsa_hash *hash = NULL;
    const lh_rsa_hash *mgf = NULL;
    for (size_t i = 0; i < LH_ARRAY_LEN(hashes); i++) {
        if (hashes[i].ckm == ckm)
            hash = &hashes[i];
        if (hashes[i].ckg == ckg)
            mgf = &hashes[i];
    }
    if (!hash || !mgf)
        return "its hash or its mask generation function is not offered";
    *ret_hash = hash;
    *ret_mgf = mgf;
    return NULL;
}
