#include "record/blob.h"

#include "codec/bin.h"
#include "crypto/aead.h"
#include "crypto/hash.h"

#define INFO_MAX 96

static const char key_label[] = "leasehold-record-v1";

static void wipe_key(uint8_t (*key)[LH_AEAD_KEY_SIZE])
{
    explicit_bzero(*key, sizeof(*key));
}

static lh_err derive_key(lh_crypto *crypto, const lh_secret *root, const lh_record_place *place,
    lh_bytes salt, uint8_t ret_key[LH_AEAD_KEY_SIZE])
{
    LH_AUTO(lh_buf_free) lh_buf info = LH_BUF_INIT(INFO_MAX);
    lh_put_raw(&info, key_label, sizeof(key_label) - 1);
    lh_put_u16(&info, (uint16_t)place->kind);
    lh_put_raw(&info, place->id.b, sizeof(place->id.b));
    lh_put_u64(&info, place->version);
    LH_TRY(lh_buf_status(&info));
    return lh_hkdf_sha256(
        crypto, lh_secret_bytes(root), salt, lh_buf_bytes(&info), ret_key, LH_AEAD_KEY_SIZE);
}

lh_err lh_blob_seal(
    lh_crypto *crypto, const lh_secret *root, const lh_record_place *place, lh_bytes plain, lh_buf *out)
{
    LH_AUTO(wipe_key) uint8_t key[LH_AEAD_KEY_SIZE];
    uint8_t salt[LH_RECORD_SALT_SIZE];
    uint8_t nonce[LH_AEAD_NONCE_SIZE];
    if (plain.len > LH_LIMIT_RECORD)
        return LH_REFUSE(
            LH_E_LIMIT, "record-size", "a record of %zu bytes is larger than %d", plain.len, LH_LIMIT_RECORD);
    lh_random(salt, sizeof(salt));
    lh_random(nonce, sizeof(nonce));
    LH_TRY(derive_key(crypto, root, place, LH_BYTES(salt, sizeof(salt)), key));
    LH_AUTO(lh_buf_free) lh_buf header = LH_BUF_INIT(LH_RECORD_HEADER_SIZE);
    lh_put_u8(&header, LH_RECORD_FORMAT);
    lh_put_u16(&header, (uint16_t)place->kind);
    lh_put_raw(&header, place->id.b, sizeof(place->id.b));
    lh_put_u64(&header, place->version);
    lh_put_raw(&header, salt, sizeof(salt));
    lh_put_raw(&header, nonce, sizeof(nonce));
    lh_put_u16(&header, 0); /* search terms: none yet */
    LH_TRY(lh_buf_status(&header));
    lh_put_raw(out, header.data, header.len);
    return lh_aead_seal(crypto, key, nonce, lh_buf_bytes(&header), plain, out);
}

/* What stands before the ciphertext. */
struct header {
    lh_record_place place;
    lh_bytes salt;
    lh_bytes nonce;
    lh_bytes whole; /* the associated data */
    lh_bytes sealed;
};

static lh_err parse(lh_bytes blob, struct header *ret)
{
    lh_reader r = lh_reader_new(blob);
    uint8_t format = lh_read_u8(&r);
    uint16_t kind = lh_read_u16(&r);
    struct header header = {.place.kind = (enum lh_record_kind)kind};
    lh_read_into(&r, header.place.id.b, sizeof(header.place.id.b));
    header.place.version = lh_read_u64(&r);
    header.salt = lh_read_raw(&r, LH_RECORD_SALT_SIZE);
    header.nonce = lh_read_raw(&r, LH_AEAD_NONCE_SIZE);
    uint16_t terms = lh_read_u16(&r);
    if (terms > LH_LIMIT_RECORD_TERMS)
        return LH_RAISE(LH_E_CORRUPT, 0);
    lh_read_raw(&r, (size_t)terms * LH_RECORD_TERM_SIZE);
    LH_TRY(lh_read_ok(&r, "a record"));
    if (format != LH_RECORD_FORMAT)
        return LH_RAISE(LH_E_CORRUPT, format);
    header.whole = LH_BYTES(blob.data, blob.len - r.left);
    header.sealed = LH_BYTES(r.at, r.left);
    *ret = header;
    return LH_SUCCESS;
}

static lh_err refuse(const lh_record_place *place, const char *what)
{
    char name[LH_RECORD_NAME_SIZE];
    lh_record_name(place->kind, &place->id, name);
    return LH_REFUSE(LH_E_CORRUPT, "record-altered",
        "%s: %s. It was changed behind the vault's back, or the disk is failing.", name, what);
}

lh_err lh_blob_open(
    lh_crypto *crypto, const lh_secret *root, const lh_record_place *place, lh_bytes blob, lh_buf *ret_plain)
{
    struct header header;
    if (!lh_ok(parse(blob, &header)))
        return refuse(place, "its bytes are not a record's");
    if (header.place.kind != place->kind || memcmp(header.place.id.b, place->id.b, sizeof(place->id.b)) != 0)
        return refuse(place, "another record stands in its place");
    if (header.place.version != place->version)
        return refuse(place, "its version is not what its row says");
    LH_AUTO(wipe_key) uint8_t key[LH_AEAD_KEY_SIZE];
    LH_TRY(derive_key(crypto, root, place, header.salt, key));
    lh_err err = lh_aead_open(crypto, key, header.nonce.data, header.whole, header.sealed, ret_plain);
    return err.code == LH_E_CORRUPT ? refuse(place, "it does not authenticate") : err;
}

uint64_t lh_blob_version(lh_bytes blob)
{
    lh_reader r = lh_reader_new(blob);
    lh_read_raw(&r, 1 + 2 + 32);
    uint64_t version = lh_read_u64(&r);
    return r.bad ? 0 : version;
}
