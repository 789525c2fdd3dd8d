/* The public area of an endorsement key. */
#include "base/limits.h"
#include "codec/bin.h"
#include "crypto/ek_internal.h"

/* Part 2, 6.3 (TPM_ALG_ID), 6.4 (TPM_ECC_CURVE). */
#define ALG_RSA 0x0001u
#define ALG_AES 0x0006u
#define ALG_SHA256 0x000bu
#define ALG_SHA384 0x000cu
#define ALG_NULL 0x0010u
#define ALG_ECC 0x0023u
#define ALG_CFB 0x0043u
#define CURVE_P256 0x0003u
#define CURVE_P384 0x0004u

/* Part 2, 8.3 (TPMA_OBJECT). The templates differ in userWithAuth and noDA. */
#define ATTR_FIXED_TPM 0x00000002u
#define ATTR_FIXED_PARENT 0x00000010u
#define ATTR_SENSITIVE_ORIGIN 0x00000020u
#define ATTR_USER_WITH_AUTH 0x00000040u
#define ATTR_ADMIN_WITH_POLICY 0x00000080u
#define ATTR_NO_DA 0x00000400u
#define ATTR_RESTRICTED 0x00010000u
#define ATTR_DECRYPT 0x00020000u
#define ATTR_NEEDED                                                                                          \
    (ATTR_FIXED_TPM | ATTR_FIXED_PARENT | ATTR_SENSITIVE_ORIGIN | ATTR_ADMIN_WITH_POLICY | ATTR_RESTRICTED | \
        ATTR_DECRYPT)
#define ATTR_ALLOWED (ATTR_NEEDED | ATTR_USER_WITH_AUTH | ATTR_NO_DA)

#define POLICY_MAX 64u /* bytes of an authPolicy */

static const struct {
    enum lh_ek_kind kind;
    const char *name;
    const char *group; /* NULL: RSA */
    unsigned size;     /* bits of the modulus, or the curve's number */
    size_t bytes;      /* of the modulus or a coordinate */
} KINDS[] = {
    {LH_EK_RSA2048, "RSA-2048", NULL, 2048, 256},
    {LH_EK_RSA3072, "RSA-3072", NULL, 3072, 384},
    {LH_EK_RSA4096, "RSA-4096", NULL, 4096, 512},
    {LH_EK_P256, "ECC P-256", "P-256", CURVE_P256, 32},
    {LH_EK_P384, "ECC P-384", "P-384", CURVE_P384, 48},
};

const char *lh_ek_kind_name(enum lh_ek_kind kind)
{
    for (size_t i = 0; i < LH_ARRAY_LEN(KINDS); i++)
        if (KINDS[i].kind == kind)
            return KINDS[i].name;
    return "none";
}

const char *lh_ek_group(enum lh_ek_kind kind)
{
    for (size_t i = 0; i < LH_ARRAY_LEN(KINDS); i++)
        if (KINDS[i].kind == kind)
            return KINDS[i].group;
    return NULL;
}

void lh_ek_clear(lh_ek *ek)
{
    EVP_PKEY_free(ek->pkey);
    *ek = (lh_ek){0};
}

static lh_err wrong_format(void)
{
    return LH_REFUSE(LH_E_INVALID, "ek-format", "the endorsement key is no public area of a TPM's key");
}

static lh_err wrong_type(const char *what, unsigned value)
{
    return LH_REFUSE(
        LH_E_INVALID, "ek-type", "the endorsement key's %s 0x%04x is not one that is taken", what, value);
}

static lh_err find_kind(bool rsa, unsigned size, size_t *ret)
{
    for (size_t i = 0; i < LH_ARRAY_LEN(KINDS); i++)
        if ((KINDS[i].group == NULL) == rsa && KINDS[i].size == size) {
            *ret = i;
            return LH_SUCCESS;
        }
    return wrong_type(rsa ? "size" : "curve", size);
}

static lh_err read_rsa(lh_crypto *c, lh_reader *r, lh_ek *ek)
{
    size_t kind;
    unsigned bits = lh_read_u16(r);
    uint32_t exponent = lh_read_u32(r);
    lh_bytes modulus = lh_read_raw(r, lh_read_u16(r));
    if (!lh_ok(lh_read_done(r, "TPMT_PUBLIC")))
        return wrong_format();
    LH_TRY(find_kind(true, bits, &kind));
    if (modulus.len != KINDS[kind].bytes || !(modulus.data[0] & 0x80u))
        return wrong_format();
    if (exponent != 0 && exponent != 65537) /* Part 2, 12.2.3.5: zero is the default exponent */
        return wrong_type("exponent", exponent);
    ek->kind = KINDS[kind].kind;
    return lh_pkey_rsa(c, modulus, 65537, &ek->pkey);
}

static void right_align(lh_bytes in, uint8_t *out, size_t size)
{
    memset(out, 0, size);
    if (in.len > 0)
        memcpy(out + size - in.len, in.data, in.len);
}

static lh_err read_ecc(lh_crypto *c, lh_reader *r, lh_ek *ek)
{
    size_t kind;
    uint8_t point[1 + 2 * sizeof ek->x] = {0x04};
    unsigned curve = lh_read_u16(r);
    unsigned kdf = lh_read_u16(r);
    if (!r->bad && kdf != ALG_NULL)
        return wrong_type("derivation scheme", kdf);
    lh_bytes x = lh_read_raw(r, lh_read_u16(r));
    lh_bytes y = lh_read_raw(r, lh_read_u16(r));
    if (!lh_ok(lh_read_done(r, "TPMT_PUBLIC")))
        return wrong_format();
    LH_TRY(find_kind(false, curve, &kind));
    size_t field = KINDS[kind].bytes;
    if (x.len == 0 || x.len > field || y.len == 0 || y.len > field)
        return wrong_format();
    ek->kind = KINDS[kind].kind;
    ek->field = field;
    right_align(x, ek->x, field);
    right_align(y, ek->y, field);
    memcpy(point + 1, ek->x, field);
    memcpy(point + 1 + field, ek->y, field);
    return lh_pkey_ec(c, KINDS[kind].group, LH_BYTES(point, 1 + 2 * field), NULL, &ek->pkey);
}

/* Type, Name's hash and attributes: TPMT_PUBLIC up to its policy. */
static lh_err read_head(lh_reader *r, lh_ek *ek, unsigned *ret_type)
{
    unsigned type = lh_read_u16(r);
    unsigned hash = lh_read_u16(r);
    uint32_t attributes = lh_read_u32(r);
    lh_bytes policy = lh_read_raw(r, lh_read_u16(r));
    if (r->bad || policy.len > POLICY_MAX)
        return wrong_format();
    if (type != ALG_RSA && type != ALG_ECC)
        return wrong_type("type", type);
    if (hash != ALG_SHA256 && hash != ALG_SHA384)
        return wrong_type("Name's hash", hash);
    if ((attributes & ATTR_NEEDED) != ATTR_NEEDED || (attributes & ~ATTR_ALLOWED) != 0)
        return LH_REFUSE(LH_E_INVALID, "ek-attributes",
            "the endorsement key's attributes 0x%08x are not those of a restricted decryption key made in "
            "its "
            "TPM",
            attributes);
    ek->sha384 = hash == ALG_SHA384;
    *ret_type = type;
    return LH_SUCCESS;
}

/* TPMT_SYM_DEF_OBJECT and the scheme. */
static lh_err read_symmetric(lh_reader *r, lh_ek *ek)
{
    unsigned algorithm = lh_read_u16(r);
    if (!r->bad && algorithm != ALG_AES)
        return wrong_type("cipher", algorithm);
    unsigned bits = lh_read_u16(r);
    unsigned mode = lh_read_u16(r);
    unsigned scheme = lh_read_u16(r);
    if (r->bad)
        return wrong_format();
    if (bits != 128 && bits != 256)
        return wrong_type("cipher's key length", bits);
    if (mode != ALG_CFB)
        return wrong_type("cipher's mode", mode);
    if (scheme != ALG_NULL)
        return wrong_type("scheme", scheme);
    ek->aes_bits = bits;
    return LH_SUCCESS;
}

lh_err lh_ek_read(lh_crypto *c, lh_bytes ek_public, lh_ek *ret)
{
    LH_AUTO(lh_ek_clear) lh_ek ek = {0};
    lh_reader r = lh_reader_new(ek_public);
    unsigned type;
    if (ek_public.len > LH_LIMIT_TPM_PUBLIC)
        return wrong_format();
    LH_TRY(read_head(&r, &ek, &type));
    LH_TRY(read_symmetric(&r, &ek));
    LH_TRY(type == ALG_RSA ? read_rsa(c, &r, &ek) : read_ecc(c, &r, &ek));
    *ret = ek;
    ek = (lh_ek){0};
    return LH_SUCCESS;
}

lh_err lh_ek_check(lh_crypto *c, lh_bytes ek_public, enum lh_ek_kind *ret_kind)
{
    LH_AUTO(lh_ek_clear) lh_ek ek = {0};
    LH_TRY(lh_ek_read(c, ek_public, &ek));
    *ret_kind = ek.kind;
    return LH_SUCCESS;
}
