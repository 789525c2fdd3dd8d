/* Keys: those leased, from raw bytes, and those of standalone partitions, from parts. */
#include "crypto/key.h"

#include "crypto/key_internal.h"
#include "crypto/key_secret.h"

#include <openssl/err.h>
#include <openssl/kdf.h>

#include <leasehold/pkcs11-3.h>

static const lh_key_ops *const pair_types[] = {
    &lh_key_ops_rsa, &lh_key_ops_ec, &lh_key_ops_dh, &lh_key_ops_pq};

static lh_err refuse_material(const char *why)
{
    ERR_clear_error();
    return LH_REFUSE(LH_E_INVALID, "key-material", "not a key of this kind: %s", why);
}

static lh_err refuse_type(const char *why)
{
    return LH_REFUSE(LH_E_INVALID, "key-type", "%s", why);
}

static lh_key *new_key(unsigned long ck_type)
{
    lh_key *key = calloc(1, sizeof(*key));
    if (key)
        key->ck_type = ck_type;
    return key;
}

/* --- leased keys -------------------------------------------------------------------------------------------
 */

static lh_err new_of_kind(enum lh_key_kind kind, const lh_key_row **ret_row, lh_key **ret)
{
    const lh_key_row *row = lh_key_row_by_kind(kind);
    if (!row)
        return LH_REFUSE(LH_E_INVALID, "key-type", "there is no key of kind %d", (int)kind);
    LH_AUTO(lh_key_freep) lh_key *key = new_key(row->ck_type);
    if (!key)
        return LH_RAISE(LH_E_NOMEM, 0);
    key->kind = kind;
    key->bits = row->bits;
    if (row->pair && !row->made) {
        key->curve = lh_curve_by_params(row->ck_type, LH_BYTES(row->ec_params, row->ec_params_len));
        if (!key->curve)
            return LH_RAISE(LH_E_INTERNAL, 0);
    }
    *ret_row = row;
    *ret = LH_TAKE(key);
    return LH_SUCCESS;
}

static lh_err read_pair(lh_crypto *c, lh_bytes material, lh_key *key)
{
    key->private_half = true;
    if (key->ck_type == CKK_RSA) {
        LH_TRY(lh_crypto_make_room(c));
        lh_err err = lh_key_rsa_fill(c, material, key);
        return err.code == LH_E_INVALID ? refuse_material("these are no primes of one") : err;
    }
    if (key->ck_type == CKK_EC) {
        LH_AUTO(BN_clear_freep) BIGNUM *scalar = BN_secure_new();
        if (!scalar || !BN_bin2bn(material.data, (int)material.len, scalar))
            return LH_OPENSSL_FAIL("reading an EC scalar");
        BN_set_flags(scalar, BN_FLG_CONSTTIME);
        lh_err err = lh_key_ec_fill(c, key->curve, scalar, LH_BYTES_NONE, key);
        return err.code == LH_E_INVALID ? refuse_material("a scalar out of range") : err;
    }
    key->pkey =
        EVP_PKEY_new_raw_private_key_ex(c->libctx, key->curve->name, NULL, material.data, material.len);
    key->point_len = sizeof(key->point);
    if (!key->pkey || EVP_PKEY_get_raw_public_key(key->pkey, key->point, &key->point_len) != 1)
        return LH_OPENSSL_FAIL("making an Ed25519 key");
    return LH_SUCCESS;
}

lh_err lh_key_new(lh_crypto *c, enum lh_key_kind kind, const lh_secret *material, lh_key **ret)
{
    const lh_key_row *row = NULL;
    LH_AUTO(lh_key_freep) lh_key *key = NULL;
    LH_TRY(new_of_kind(kind, &row, &key));
    lh_bytes bytes = lh_secret_bytes(material);
    if (bytes.len != lh_key_row_material_len(row))
        return refuse_material("it is of another length");
    if (row->pair)
        LH_TRY(read_pair(c, bytes, key));
    else
        LH_TRY(lh_secret_copy(bytes, &key->secret));
    *ret = LH_TAKE(key);
    return LH_SUCCESS;
}

lh_err lh_key_make_material(lh_crypto *c, enum lh_key_kind kind, lh_secret **ret)
{
    const lh_key_row *row = lh_key_row_by_kind(kind);
    if (!row || !row->made)
        return LH_REFUSE(LH_E_INVALID, "key-type", "keys of kind %d are not made like this", (int)kind);
    LH_AUTO(lh_secret_freep) lh_secret *primes = NULL;
    LH_TRY(lh_secret_new(lh_key_row_material_len(row), &primes));
    LH_TRY(lh_crypto_make_room(c));
    LH_TRY(lh_key_rsa_make(c, row->bits, primes));
    *ret = LH_TAKE(primes);
    return LH_SUCCESS;
}

static lh_err refuse_public(const lh_key_row *row, size_t len, size_t wanted)
{
    return LH_REFUSE(
        LH_E_INVALID, "key-public", "a public key of %zu bytes: %s has %zu", len, row->name, wanted);
}

static lh_err new_public_rsa(lh_crypto *c, const lh_key_row *row, lh_bytes modulus, lh_key *key)
{
    if (modulus.len != row->bits / 8)
        return refuse_public(row, modulus.len, row->bits / 8);
    lh_err err = lh_key_rsa_fill_public(c, modulus, key);
    return err.code == LH_E_INVALID
               ? LH_REFUSE(LH_E_INVALID, "key-public", "that is no modulus of %s", row->name)
               : err;
}

lh_err lh_key_new_public(lh_crypto *c, enum lh_key_kind kind, lh_bytes point, lh_key **ret)
{
    const lh_key_row *row = NULL;
    LH_AUTO(lh_key_freep) lh_key *key = NULL;
    LH_TRY(new_of_kind(kind, &row, &key));
    if (!row->pair)
        return LH_REFUSE(LH_E_INVALID, "key-type", "a key of kind %d has no public half", (int)kind);
    if (row->made) {
        LH_TRY(new_public_rsa(c, row, point, key));
        *ret = LH_TAKE(key);
        return LH_SUCCESS;
    }
    if (point.len != key->curve->point_len)
        return refuse_public(row, point.len, key->curve->point_len);
    key->point_len = point.len;
    memcpy(key->point, point.data, point.len);
    if (key->ck_type == CKK_EC)
        LH_TRY(lh_pkey_ec(c, key->curve->name, point, NULL, &key->pkey));
    else
        LH_TRY(lh_pkey_ed25519_public(c, point, &key->pkey));
    *ret = LH_TAKE(key);
    return LH_SUCCESS;
}

void lh_key_free(lh_key *key)
{
    if (!key)
        return;
    lh_secret_free(key->secret);
    EVP_PKEY_free(key->pkey);
    free(key);
}

enum lh_key_kind lh_key_kind(const lh_key *key)
{
    return key->kind;
}

static lh_err need_pair(const lh_key *key)
{
    return key->pkey ? LH_SUCCESS : refuse_type("a symmetric key has no public half");
}

lh_err lh_key_public_spki(const lh_key *key, lh_buf *out)
{
    LH_TRY(need_pair(key));
    return lh_pkey_spki(key->pkey, out);
}

lh_err lh_key_public_point(const lh_key *key, lh_buf *out)
{
    LH_TRY(need_pair(key));
    if (key->ck_type == CKK_RSA)
        return lh_key_rsa_modulus(key, out);
    lh_buf_append(out, key->point, key->point_len);
    return lh_buf_status(out);
}

/* --- keys of standalone partitions
 * ---------------------------------------------------------------------------
 */

static const lh_key_ops *ops_of(unsigned long ck_type)
{
    uint32_t bit = lh_key_type_of(ck_type);
    for (size_t i = 0; i < LH_ARRAY_LEN(pair_types); i++)
        if (pair_types[i]->types & bit)
            return pair_types[i];
    return NULL;
}

lh_err lh_key_import(
    lh_crypto *c, unsigned long ck_type, unsigned long ck_class, lh_key_parts parts, lh_key **ret)
{
    const lh_key_ops *ops = ops_of(ck_type);
    if (ck_class == CKO_SECRET_KEY && !ops)
        return lh_key_secret_import(ck_type, parts, ret);
    bool domain = ck_class == CKO_DOMAIN_PARAMETERS && ck_type == CKK_DH;
    if (!ops || (ck_class != CKO_PUBLIC_KEY && ck_class != CKO_PRIVATE_KEY && !domain))
        return refuse_type("there are no keys of that type and class");
    LH_AUTO(lh_key_freep) lh_key *key = new_key(ck_type);
    if (!key)
        return LH_RAISE(LH_E_NOMEM, 0);
    if (ck_class == CKO_PRIVATE_KEY)
        LH_TRY(lh_crypto_make_room(c));
    LH_TRY(ops->import(c, ck_class, parts, key));
    *ret = LH_TAKE(key);
    return LH_SUCCESS;
}

static lh_err tell_spki(const lh_key *key, lh_key_part_fn fn, void *arg)
{
    LH_AUTO(lh_buf_free) lh_buf spki = LH_BUF_INIT(16384);
    LH_TRY(lh_pkey_spki(key->pkey, &spki));
    return fn(arg, CKA_PUBLIC_KEY_INFO, lh_buf_bytes(&spki), false);
}

static lh_err tell_secret(const lh_key *key, lh_key_part_fn fn, void *arg)
{
    lh_bytes value = lh_secret_bytes(key->secret);
    const uint8_t len[8] = {[6] = (uint8_t)(value.len >> 8), [7] = (uint8_t)value.len};
    LH_TRY(fn(arg, CKA_VALUE, value, true));
    return fn(arg, CKA_VALUE_LEN, LH_BYTES(len, sizeof(len)), false);
}

lh_err lh_key_export(const lh_key *key, unsigned long ck_class, lh_key_part_fn fn, void *arg)
{
    if (ck_class == CKO_SECRET_KEY)
        return key->secret ? tell_secret(key, fn, arg) : refuse_type("that is no secret key");
    const lh_key_ops *ops = ops_of(key->ck_type);
    if (!ops || !key->pkey)
        return refuse_type("a secret key has no such parts");
    if (ck_class == CKO_DOMAIN_PARAMETERS)
        return key->ck_type == CKK_DH ? ops->tell(key, ck_class, fn, arg)
                                      : refuse_type("no domain parameters");
    if (ck_class == CKO_PRIVATE_KEY ? !key->private_half : ck_class != CKO_PUBLIC_KEY)
        return refuse_type("it has no such half");
    LH_TRY(ops->tell(key, ck_class, fn, arg));
    return tell_spki(key, fn, arg);
}

unsigned long lh_key_ck_type(const lh_key *key)
{
    return key->ck_type;
}

unsigned lh_key_bits(const lh_key *key)
{
    return key->pkey ? key->bits : (unsigned)lh_secret_len(key->secret) * 8;
}

bool lh_key_has_private(const lh_key *key)
{
    return key->private_half || key->secret;
}

/* The type that a row makes: of those of one row only one has pairs. */
static unsigned long made_type(const lh_mechanism *row)
{
    static const unsigned long types[] = {
        CKK_RSA, CKK_EC, CKK_EC_EDWARDS, CKK_EC_MONTGOMERY, CKK_DH, CKK_ML_KEM, CKK_ML_DSA, CKK_SLH_DSA};
    for (size_t i = 0; i < LH_ARRAY_LEN(types); i++)
        if (lh_key_type_of(types[i]) & row->keys)
            return types[i];
    return CKK_VENDOR_DEFINED;
}

lh_err lh_key_generate(
    lh_crypto *c, const lh_mechanism *row, lh_bytes params, lh_key_parts parts, lh_key **ret)
{
    if ((row->uses & (LH_USE_GENERATE | LH_USE_GENERATE_PAIR)) == 0)
        return LH_REFUSE(LH_E_INVALID, "mechanism-use", "%s makes no keys", row->name);
    if (row->family != LH_FAMILY_PAIRGEN)
        return lh_key_secret_generate(c, row, params, parts, ret);
    if (params.len > 0)
        return LH_REFUSE(LH_E_INVALID, "mechanism-param", "%s takes no parameter", row->name);
    LH_AUTO(lh_key_freep) lh_key *key = new_key(made_type(row));
    if (!key)
        return LH_RAISE(LH_E_NOMEM, 0);
    const lh_key_ops *ops = ops_of(key->ck_type);
    if (!ops)
        return LH_RAISE(LH_E_INTERNAL, 0);
    LH_TRY(lh_crypto_make_room(c));
    LH_TRY(ops->generate(c, row, params, parts, key));
    *ret = LH_TAKE(key);
    return LH_SUCCESS;
}

/* --- private keys from elsewhere ---------------------------------------------------------------------------
 */

typedef struct {
    lh_key_part parts[12];
    lh_secret *values[12];
    size_t count;
} collected;

static void collected_free(collected *all)
{
    for (size_t i = 0; i < all->count; i++)
        lh_secret_free(all->values[i]);
}

static lh_err collect(void *arg, unsigned long type, lh_bytes value, bool secret)
{
    (void)secret;
    collected *all = arg;
    if (all->count == LH_ARRAY_LEN(all->parts) || value.len == 0)
        return LH_RAISE(LH_E_INTERNAL, 0);
    LH_TRY(lh_secret_copy(value, &all->values[all->count]));
    all->parts[all->count] = (lh_key_part){type, lh_secret_bytes(all->values[all->count])};
    all->count++;
    return LH_SUCCESS;
}

/* What OpenSSL calls this key, as our types and curves do. */
static lh_err describe(lh_key *key)
{
    static const struct {
        unsigned long ck_type;
        const char *name;
    } names[] = {{CKK_RSA, "RSA"}, {CKK_EC, "EC"}, {CKK_DH, "DH"}};
    for (size_t i = 0; i < LH_ARRAY_LEN(names); i++)
        if (names[i].ck_type == key->ck_type && !EVP_PKEY_is_a(key->pkey, names[i].name))
            return refuse_type("a key of another type");
    size_t count = 0;
    const lh_curve *curves = lh_curve_table(&count);
    char group[64] = "";
    if (key->ck_type == CKK_EC && EVP_PKEY_get_group_name(key->pkey, group, sizeof(group), NULL) != 1)
        group[0] = '\0';
    for (size_t i = 0; i < count; i++)
        if (curves[i].ck_type == key->ck_type &&
            (key->ck_type == CKK_EC ? lh_curve_is_called(&curves[i], group)
                                    : EVP_PKEY_is_a(key->pkey, curves[i].name) == 1))
            key->curve = &curves[i];
    bool curved =
        key->ck_type == CKK_EC || key->ck_type == CKK_EC_EDWARDS || key->ck_type == CKK_EC_MONTGOMERY;
    if (curved && !key->curve)
        return LH_REFUSE(LH_E_INVALID, "curve-not-supported", "a key on a curve that is not offered");
    return lh_key_pq_describe(key);
}

lh_err lh_key_adopt(lh_crypto *c, unsigned long ck_type, EVP_PKEY *pkey, lh_key **ret)
{
    const lh_key_ops *ops = ops_of(ck_type);
    if (!ops)
        return refuse_type("there are no pairs of that type");
    lh_key borrowed = {.ck_type = ck_type, .pkey = pkey, .private_half = true};
    LH_TRY(describe(&borrowed));
    LH_AUTO(collected_free) collected all = {.count = 0};
    lh_err err = ops->tell(&borrowed, CKO_PRIVATE_KEY, collect, &all);
    if (!lh_ok(err))
        return err.code == LH_E_CRYPTO ? refuse_type("it has no private half of that type") : err;
    return lh_key_import(c, ck_type, CKO_PRIVATE_KEY, (lh_key_parts){all.parts, all.count}, ret);
}

bool lh_crypto_offers(lh_crypto *c, const lh_mechanism *row)
{
    if (!row->needs)
        return true;
    EVP_KEYMGMT *keys = EVP_KEYMGMT_fetch(c->libctx, row->needs, NULL);
    EVP_CIPHER *cipher = keys ? NULL : EVP_CIPHER_fetch(c->libctx, row->needs, NULL);
    EVP_MD *md = keys || cipher ? NULL : EVP_MD_fetch(c->libctx, row->needs, NULL);
    EVP_KDF *kdf = keys || cipher || md ? NULL : EVP_KDF_fetch(c->libctx, row->needs, NULL);
    bool found = keys || cipher || md || kdf;
    EVP_KEYMGMT_free(keys);
    EVP_CIPHER_free(cipher);
    EVP_MD_free(md);
    EVP_KDF_free(kdf);
    ERR_clear_error();
    return found;
}
