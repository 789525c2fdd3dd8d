/* OpenSSH keys as rows of one table: how the rest of a blob is read, and how a signature verifies. */
#include "crypto/ssh.h"

#include "crypto/hash.h"
#include "crypto/openssl.h"

#include <openssl/err.h>
#include <openssl/rsa.h>

#define APPLICATION_MAX 256 /* bytes of a security key's application */
#define FLAG_USER_PRESENT 0x01

typedef struct ssh_row ssh_row;

struct lh_ssh_key {
    const ssh_row *row;
    EVP_PKEY *pkey;
    size_t rsa_len;                      /* bytes of an RSA modulus, and so of a signature */
    uint8_t application[LH_SHA256_SIZE]; /* SHA-256, security keys only */
};

/* A span that is eaten from its beginning. */
typedef struct {
    lh_bytes left;
    bool bad;
} span;

struct ssh_row {
    const char *type;
    const char *curve; /* SSH's name of it; NULL where none */
    const char *group; /* OpenSSL's */
    size_t point_len;  /* of EC points and Ed25519 keys */
    size_t md;         /* LH_MD_ that ECDSA is over */
    bool security_key;
    lh_err (*parse)(lh_crypto *c, span *blob, lh_ssh_key *key);
    lh_err (*verify)(
        lh_crypto *c, const lh_ssh_key *key, lh_bytes algorithm, lh_bytes signature, lh_bytes data);
};

static lh_bytes eat(span *s, size_t len)
{
    if (s->bad || len > s->left.len) {
        s->bad = true;
        return LH_BYTES_NONE;
    }
    lh_bytes piece = LH_BYTES(s->left.data, len);
    s->left = LH_BYTES(s->left.data + len, s->left.len - len);
    return piece;
}

/* RFC 4251 section 5, string. */
static lh_bytes eat_string(span *s)
{
    lh_bytes n = eat(s, 4);
    if (n.len != 4)
        return LH_BYTES_NONE;
    return eat(s, (size_t)n.data[0] << 24 | (size_t)n.data[1] << 16 | (size_t)n.data[2] << 8 | n.data[3]);
}

/* RFC 4251 section 5, mpint: positive and in its shortest form. Without its leading zero. */
static lh_bytes eat_positive(span *s)
{
    lh_bytes n = eat_string(s);
    if (n.len > 0 && n.data[0] == 0) {
        n = LH_BYTES(n.data + 1, n.len - 1);
        if (n.len == 0 || !(n.data[0] & 0x80))
            s->bad = true;
    } else if (n.len == 0 || (n.data[0] & 0x80)) {
        s->bad = true;
    }
    return s->bad ? LH_BYTES_NONE : n;
}

static bool is(lh_bytes bytes, const char *s)
{
    return lh_bytes_equal(bytes, LH_BYTES_STR(s));
}

static lh_err refuse_key(const char *why)
{
    return LH_REFUSE(LH_E_INVALID, "ssh-key", "not an OpenSSH public key: %s", why);
}

static lh_err refuse_format(void)
{
    return LH_REFUSE(LH_E_SIGNATURE, "ssh-signature-format", "the signature is malformed");
}

static lh_err refuse_signature(void)
{
    return LH_REFUSE(LH_E_SIGNATURE, "ssh-signature", "the signature does not verify");
}

static lh_err parse_application(lh_crypto *c, span *blob, lh_ssh_key *key)
{
    if (!key->row->security_key)
        return LH_SUCCESS;
    lh_bytes application = eat_string(blob);
    if (application.len < 4 || application.len > APPLICATION_MAX || memcmp(application.data, "ssh:", 4) != 0)
        return refuse_key("a security key whose application does not begin with ssh:");
    return lh_sha256(c, &application, 1, key->application);
}

static lh_err parse_ed25519(lh_crypto *c, span *blob, lh_ssh_key *key)
{
    lh_bytes point = eat_string(blob);
    if (point.len != key->row->point_len)
        return refuse_key("not 32 bytes of Ed25519");
    LH_TRY(parse_application(c, blob, key));
    return lh_pkey_ed25519_public(c, point, &key->pkey);
}

static lh_err parse_ecdsa(lh_crypto *c, span *blob, lh_ssh_key *key)
{
    lh_bytes curve = eat_string(blob);
    lh_bytes point = eat_string(blob);
    if (!is(curve, key->row->curve) || point.len != key->row->point_len)
        return refuse_key("its curve or point is not that of its type");
    LH_TRY(parse_application(c, blob, key));
    lh_err err = lh_pkey_ec(c, key->row->group, point, NULL, &key->pkey);
    return err.code == LH_E_INVALID ? refuse_key("its point is not on the curve") : err;
}

static lh_err parse_rsa(lh_crypto *c, span *blob, lh_ssh_key *key)
{
    lh_bytes e = eat_positive(blob);
    lh_bytes n = eat_positive(blob);
    if (blob->bad)
        return refuse_key("its numbers are malformed");
    uint32_t exponent = 0;
    for (size_t i = 0; i < e.len && e.len <= 4; i++)
        exponent = exponent << 8 | e.data[i];
    size_t bits = n.len * 8 - (size_t)__builtin_clz(n.data[0]) + 24;
    if (bits < LH_SSH_RSA_MIN_BITS || bits > LH_SSH_RSA_MAX_BITS || exponent < 65537 || exponent % 2 == 0)
        return LH_REFUSE(LH_E_INVALID, "ssh-key-weak",
            "an RSA key of %zu bits: it must have %d to %d and an odd exponent of 65537 or more", bits,
            LH_SSH_RSA_MIN_BITS, LH_SSH_RSA_MAX_BITS);
    key->rsa_len = n.len;
    lh_err err = lh_pkey_rsa(c, n, exponent, &key->pkey);
    return err.code == LH_E_INVALID ? refuse_key("its modulus is even") : err;
}

static lh_err verify_ed25519(
    lh_crypto *c, const lh_ssh_key *key, lh_bytes algorithm, lh_bytes signature, lh_bytes data)
{
    (void)algorithm;
    if (signature.len != 64)
        return refuse_format();
    lh_err err = lh_pkey_ed25519_verify(c, key->pkey, data, signature);
    return err.code == LH_E_SIGNATURE ? refuse_signature() : err;
}

static lh_err verify_ecdsa(
    lh_crypto *c, const lh_ssh_key *key, lh_bytes algorithm, lh_bytes signature, lh_bytes data)
{
    (void)algorithm;
    span s = {signature, false};
    lh_bytes r = eat_positive(&s);
    lh_bytes t = eat_positive(&s);
    if (s.bad || s.left.len > 0)
        return refuse_format();
    uint8_t digest[LH_SHA384_SIZE];
    bool long_hash = key->row->md == LH_MD_SHA384;
    LH_TRY(long_hash ? lh_sha384(c, &data, 1, digest) : lh_sha256(c, &data, 1, digest));
    lh_bytes hash = LH_BYTES(digest, long_hash ? LH_SHA384_SIZE : LH_SHA256_SIZE);
    lh_err err = lh_pkey_ecdsa_verify(c, key->pkey, hash, r, t);
    return err.code == LH_E_SIGNATURE ? refuse_signature() : err;
}

static lh_err verify_rsa(
    lh_crypto *c, const lh_ssh_key *key, lh_bytes algorithm, lh_bytes signature, lh_bytes data)
{
    if (signature.len != key->rsa_len)
        return refuse_format();
    const EVP_MD *md = c->md[is(algorithm, "rsa-sha2-512") ? LH_MD_SHA512 : LH_MD_SHA256];
    LH_AUTO(EVP_MD_CTX_freep) EVP_MD_CTX *hash = EVP_MD_CTX_new();
    uint8_t digest[LH_SHA512_SIZE];
    unsigned len = 0;
    if (!hash || EVP_DigestInit_ex2(hash, md, NULL) != 1 ||
        (data.len > 0 && EVP_DigestUpdate(hash, data.data, data.len) != 1) ||
        EVP_DigestFinal_ex(hash, digest, &len) != 1)
        return LH_OPENSSL_FAIL("hashing");
    LH_AUTO(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(c->libctx, key->pkey, NULL);
    if (!ctx || EVP_PKEY_verify_init(ctx) != 1 || EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) != 1 ||
        EVP_PKEY_CTX_set_signature_md(ctx, md) != 1)
        return LH_OPENSSL_FAIL("starting an RSA verification");
    if (EVP_PKEY_verify(ctx, signature.data, signature.len, digest, len) != 1) {
        ERR_clear_error();
        return refuse_signature();
    }
    return LH_SUCCESS;
}

static const ssh_row rows[] = {
    {.type = "ssh-ed25519", .point_len = 32, .parse = parse_ed25519, .verify = verify_ed25519},
    {.type = "ecdsa-sha2-nistp256",
        .curve = "nistp256",
        .group = "P-256",
        .point_len = 65,
        .md = LH_MD_SHA256,
        .parse = parse_ecdsa,
        .verify = verify_ecdsa},
    {.type = "ecdsa-sha2-nistp384",
        .curve = "nistp384",
        .group = "P-384",
        .point_len = 97,
        .md = LH_MD_SHA384,
        .parse = parse_ecdsa,
        .verify = verify_ecdsa},
    {.type = "ssh-rsa", .parse = parse_rsa, .verify = verify_rsa},
    {.type = "sk-ssh-ed25519@openssh.com",
        .point_len = 32,
        .security_key = true,
        .parse = parse_ed25519,
        .verify = verify_ed25519},
    {.type = "sk-ecdsa-sha2-nistp256@openssh.com",
        .curve = "nistp256",
        .group = "P-256",
        .point_len = 65,
        .md = LH_MD_SHA256,
        .security_key = true,
        .parse = parse_ecdsa,
        .verify = verify_ecdsa},
};

static const ssh_row *row_of(lh_bytes type)
{
    for (size_t i = 0; i < LH_ARRAY_LEN(rows); i++)
        if (is(type, rows[i].type))
            return &rows[i];
    return NULL;
}

lh_err lh_ssh_key_parse(lh_crypto *c, lh_bytes blob, lh_ssh_key **ret)
{
    span s = {blob, false};
    lh_bytes type = eat_string(&s);
    if (s.bad)
        return refuse_key("it names no type");
    LH_AUTO(lh_ssh_key_freep) lh_ssh_key *key = calloc(1, sizeof(*key));
    if (!key)
        return LH_RAISE(LH_E_NOMEM, 0);
    key->row = row_of(type);
    if (!key->row)
        return LH_REFUSE(LH_E_UNSUPPORTED, "ssh-key-type",
            "this type of key is not taken: use ed25519, ECDSA P-256 or P-384, RSA of 2048 bits or more, or "
            "a "
            "security key");
    LH_TRY(key->row->parse(c, &s, key));
    if (s.bad || s.left.len > 0)
        return refuse_key("it is cut off, or bytes are left over");
    *ret = LH_TAKE(key);
    return LH_SUCCESS;
}

void lh_ssh_key_free(lh_ssh_key *key)
{
    if (!key)
        return;
    EVP_PKEY_free(key->pkey);
    free(key);
}

const char *lh_ssh_key_type(const lh_ssh_key *key)
{
    return key->row->type;
}

/* A security key signs SHA-256(application) ‖ flags ‖ counter ‖ SHA-256(data): OpenSSH's PROTOCOL.u2f. */
static lh_err verify_security_key(
    lh_crypto *c, const lh_ssh_key *key, lh_bytes signature, lh_bytes flags_counter, lh_bytes data)
{
    if (!(flags_counter.data[0] & FLAG_USER_PRESENT))
        return LH_REFUSE(LH_E_SIGNATURE, "ssh-user-presence",
            "the security key signed without its user being present (a key made with no-touch-required)");
    uint8_t signed_data[LH_SHA256_SIZE + 5 + LH_SHA256_SIZE];
    memcpy(signed_data, key->application, LH_SHA256_SIZE);
    memcpy(signed_data + LH_SHA256_SIZE, flags_counter.data, 5);
    LH_TRY(lh_sha256(c, &data, 1, signed_data + LH_SHA256_SIZE + 5));
    return key->row->verify(c, key, LH_BYTES_NONE, signature, LH_BYTES(signed_data, sizeof(signed_data)));
}

lh_err lh_ssh_verify(lh_crypto *c, const lh_ssh_key *key, lh_bytes signature, lh_bytes data)
{
    span s = {signature, false};
    lh_bytes algorithm = eat_string(&s);
    lh_bytes raw = eat_string(&s);
    lh_bytes flags_counter = key->row->security_key ? eat(&s, 5) : LH_BYTES_NONE;
    if (s.bad || s.left.len > 0)
        return refuse_format();
    /* For RSA the algorithm names the hash too, and plain ssh-rsa means SHA-1: RFC 8332 section 3. */
    bool known = key->row->parse == parse_rsa ? is(algorithm, "rsa-sha2-256") || is(algorithm, "rsa-sha2-512")
                                              : is(algorithm, key->row->type);
    if (!known)
        return LH_REFUSE(LH_E_SIGNATURE, "ssh-signature-algorithm",
            "the signature's algorithm is not one for a key of type %s", key->row->type);
    if (key->row->security_key)
        return verify_security_key(c, key, raw, flags_counter, data);
    return key->row->verify(c, key, algorithm, raw, data);
}
