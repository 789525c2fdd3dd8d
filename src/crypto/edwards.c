/* Why its signatures are not used: it copies private keys to ordinary memory that it does not wipe, and takes
 * signatures whose second half is not less than the order (docs/decisions). */
#include "crypto/edwards.h"

#include <gcrypt.h>
#include <openssl/err.h>
#include <pthread.h>

#define LEAST_VERSION "1.10.0"
#define LOCKED_POOL 32768u /* bytes: a scalar takes 200 of them while it is multiplied by */

LH_DEFINE_FREEP(struct gcry_mpi, gcry_mpi_release)
LH_DEFINE_FREEP(struct gcry_mpi_point, gcry_mpi_point_release)
LH_DEFINE_FREEP(struct gcry_context, gcry_ctx_release)

/* The process's, as libgcrypt's own state is. */
static struct {
    pthread_once_t once;
    bool ready;
    pthread_mutex_t
        decode; /* constants that libgcrypt computes when it first decodes a point, without a lock */
} library = {.once = PTHREAD_ONCE_INIT};

static gcry_error_t open_curve(unsigned bits, gcry_ctx_t *ret)
{
    return gcry_mpi_ec_new(ret, NULL, bits == 448 ? "Ed448" : "Ed25519");
}

static void start_once(void)
{
    if (!gcry_check_version(LEAST_VERSION))
        return;
    if (gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P) == 0) {
        gcry_control(GCRYCTL_DISABLE_SECMEM_WARN);
        gcry_control(GCRYCTL_DISABLE_PRIV_DROP);
        /* Where memory cannot be locked it is still wiped when freed. */
        (void)gcry_control(GCRYCTL_INIT_SECMEM, LOCKED_POOL, 0);
        gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
    }
    LH_AUTO(gcry_ctx_releasep) gcry_ctx_t one = NULL;
    LH_AUTO(gcry_ctx_releasep) gcry_ctx_t two = NULL;
    library.ready = open_curve(255, &one) == 0 && open_curve(448, &two) == 0;
}

bool lh_edwards_start(void)
{
    pthread_once(&library.once, start_once);
    return library.ready;
}

/* Read by libgcrypt as what it is to be kept in: locked memory for a secret one. */
static lh_err secret_scalar(lh_bytes scalar, gcry_mpi_t *ret)
{
    void *copy = gcry_malloc_secure(scalar.len);
    if (!copy)
        return LH_RAISE(LH_E_NOMEM, 0);
    memcpy(copy, scalar.data, scalar.len);
    LH_AUTO(gcry_mpi_releasep) gcry_mpi_t made = NULL;
    gcry_error_t rc = gcry_mpi_scan(&made, GCRYMPI_FMT_USG, copy, scalar.len, NULL);
    gcry_free(copy); /* wiped */
    /* What it tells secret scalars by. */
    if (rc == 0 && !gcry_mpi_get_flag(made, GCRYMPI_FLAG_SECURE))
        return LH_RAISE(LH_E_INTERNAL, 0);
    if (rc != 0)
        return LH_RAISE(LH_E_CRYPTO, rc);
    *ret = LH_TAKE(made);
    return LH_SUCCESS;
}

static lh_err encode(const lh_curve *curve, gcry_mpi_point_t point, gcry_ctx_t ctx, uint8_t *out)
{
    gcry_error_t rc = gcry_mpi_ec_set_point("q", point, ctx);
    LH_AUTO(gcry_mpi_releasep) gcry_mpi_t encoded = rc == 0 ? gcry_mpi_ec_get_mpi("q@eddsa", ctx, 1) : NULL;
    unsigned bits = 0;
    const void *bytes = encoded ? gcry_mpi_get_opaque(encoded, &bits) : NULL;
    if (!bytes || bits != 8 * curve->point_len)
        return LH_RAISE(LH_E_CRYPTO, rc);
    memcpy(out, bytes, curve->point_len);
    return LH_SUCCESS;
}

lh_err lh_edwards_mul_base(const lh_curve *curve, lh_bytes scalar, uint8_t *out)
{
    LH_AUTO(gcry_ctx_releasep) gcry_ctx_t ctx = NULL;
    gcry_error_t rc = open_curve(curve->bits, &ctx);
    if (rc != 0)
        return LH_RAISE(LH_E_CRYPTO, rc);
    LH_AUTO(gcry_mpi_releasep) gcry_mpi_t secret = NULL;
    LH_TRY(secret_scalar(scalar, &secret));
    LH_AUTO(gcry_mpi_point_releasep) gcry_mpi_point_t base = gcry_mpi_ec_get_point("g", ctx, 1);
    LH_AUTO(gcry_mpi_point_releasep) gcry_mpi_point_t product = gcry_mpi_point_new(0);
    if (!base || !product)
        return LH_RAISE(LH_E_CRYPTO, 0);
    gcry_mpi_ec_mul(product, secret, base, ctx);
    return encode(curve, product, ctx, out);
}

/* The square of the x that goes with y. */
static bool x_squared(const lh_curve *curve, const BIGNUM *y, const BIGNUM *p, BIGNUM *ret, BN_CTX *ctx)
{
    /* RFC 8032 sections 5.1 and 5.2: d, which of Ed448 is -39081. */
    static const char d_25519[] = "52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3";
    BIGNUM *d = BN_CTX_get(ctx);
    BIGNUM *square = BN_CTX_get(ctx);
    BIGNUM *below = BN_CTX_get(ctx);
    if (!below || !BN_mod_sqr(square, y, p, ctx) ||
        BN_hex2bn(&d, curve->bits == 448 ? "98a9" : d_25519) == 0 || !BN_mod_mul(below, d, square, p, ctx))
        return false;
    /* (y^2 - 1) / (d y^2 + 1), and of Ed448 (1 - y^2) / (39081 y^2 + 1), which is the same as its fraction.
     */
    bool done = curve->bits == 448 ? BN_mod_sub(square, BN_value_one(), square, p, ctx)
                                   : BN_mod_sub(square, square, BN_value_one(), p, ctx);
    return done && BN_add_word(below, 1) && BN_mod_inverse(below, below, p, ctx) &&
           BN_mod_mul(ret, square, below, p, ctx);
}

/* RFC 8032 sections 5.1.3 and 5.2.3. False where it is the encoding of no point. x and y: len bytes. */
static bool decode(const lh_curve *curve, lh_bytes encoded, uint8_t *x_out, uint8_t *y_out, BN_CTX *ctx)
{
    static const char p_25519[] = "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed";
    static const char p_448[] = "fffffffffffffffffffffffffffffffffffffffffffffffffffffffe"
                                "ffffffffffffffffffffffffffffffffffffffffffffffffffffffff";
    uint8_t bytes[LH_EDWARDS_POINT_MAX];
    int len = (int)encoded.len;
    memcpy(bytes, encoded.data, encoded.len);
    bool odd = bytes[len - 1] >> 7;
    bytes[len - 1] &= 0x7f;
    BIGNUM *p = BN_CTX_get(ctx);
    BIGNUM *x = BN_CTX_get(ctx);
    BIGNUM *y = BN_CTX_get(ctx);
    if (!y || BN_hex2bn(&p, curve->bits == 448 ? p_448 : p_25519) == 0 || !BN_lebin2bn(bytes, len, y) ||
        BN_cmp(y, p) >= 0 || !x_squared(curve, y, p, x, ctx) || !BN_mod_sqrt(x, x, p, ctx) ||
        (BN_is_zero(x) && odd))
        return false;
    if (BN_is_odd(x) != odd && !BN_sub(x, p, x))
        return false;
    return BN_bn2binpad(x, x_out, len) == len && BN_bn2binpad(y, y_out, len) == len;
}

static lh_err public_number(const uint8_t *data, size_t len, gcry_mpi_t *ret)
{
    gcry_error_t rc = gcry_mpi_scan(ret, GCRYMPI_FMT_USG, data, len, NULL);
    return rc == 0 ? LH_SUCCESS : LH_RAISE(LH_E_CRYPTO, rc);
}

/* Decoded here and not by libgcrypt, which ends the process over a point whose x is 0, and makes a point of
 * some encodings that are of none. */
static lh_err read_point(lh_crypto *c, const lh_curve *curve, lh_bytes encoded, gcry_mpi_point_t *ret)
{
    uint8_t bytes[2][LH_EDWARDS_POINT_MAX];
    LH_AUTO(BN_CTX_freep) BN_CTX *ctx = BN_CTX_new_ex(c->libctx);
    if (!ctx)
        return LH_OPENSSL_FAIL("reading a point");
    BN_CTX_start(ctx);
    bool good = decode(curve, encoded, bytes[0], bytes[1], ctx);
    BN_CTX_end(ctx);
    ERR_clear_error();
    if (!good)
        return LH_FAIL(LH_E_SIGNATURE, "the public key is no point of %s", curve->name);
    LH_AUTO(gcry_mpi_releasep) gcry_mpi_t x = NULL;
    LH_AUTO(gcry_mpi_releasep) gcry_mpi_t y = NULL;
    LH_TRY(public_number(bytes[0], encoded.len, &x));
    LH_TRY(public_number(bytes[1], encoded.len, &y));
    *ret = gcry_mpi_point_set(NULL, x, y, GCRYMPI_CONST_ONE);
    return *ret ? LH_SUCCESS : LH_RAISE(LH_E_NOMEM, 0);
}

lh_err lh_edwards_subtract(
    lh_crypto *c, const lh_curve *curve, lh_bytes s, lh_bytes k, lh_bytes point, uint8_t *out)
{
    LH_AUTO(gcry_ctx_releasep) gcry_ctx_t ctx = NULL;
    gcry_error_t rc = open_curve(curve->bits, &ctx);
    if (rc != 0 || point.len != curve->point_len)
        return LH_RAISE(LH_E_CRYPTO, rc);
    LH_AUTO(gcry_mpi_releasep) gcry_mpi_t s_mpi = NULL;
    LH_AUTO(gcry_mpi_releasep) gcry_mpi_t k_mpi = NULL;
    LH_TRY(public_number(s.data, s.len, &s_mpi));
    LH_TRY(public_number(k.data, k.len, &k_mpi));
    LH_AUTO(gcry_mpi_point_releasep) gcry_mpi_point_t base = gcry_mpi_ec_get_point("g", ctx, 1);
    LH_AUTO(gcry_mpi_point_releasep) gcry_mpi_point_t other = NULL;
    LH_AUTO(gcry_mpi_point_releasep) gcry_mpi_point_t first = gcry_mpi_point_new(0);
    LH_AUTO(gcry_mpi_point_releasep) gcry_mpi_point_t second = gcry_mpi_point_new(0);
    if (!base || !first || !second)
        return LH_RAISE(LH_E_CRYPTO, 0);
    LH_TRY(read_point(c, curve, point, &other));
    gcry_mpi_ec_mul(first, s_mpi, base, ctx);
    gcry_mpi_ec_mul(second, k_mpi, other, ctx);
    gcry_mpi_ec_sub(first, first, second, ctx);
    return encode(curve, first, ctx, out);
}
