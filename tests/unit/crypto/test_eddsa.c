/* EdDSA with a context and of a hash: RFC 8032's vectors through operations, whoever carries them out, and
 * then what this folder does itself where libcrypto cannot, against libcrypto's plain EdDSA. */
#include "crypto/eddsa.h"
#include "crypto/edwards.h"
#include "p11/curve.h"
#include "pair_fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

static const struct {
    const char *curve;
    const char *seed;
    const char *point;
    bool prehash;
    const char *context;
    const char *message;
    const char *signature;
} vectors[] = {
    /* section 7.2 */
    {"ED25519", "0305334e381af78f141cb666f6199f57bc3495335a256a95bd2a55bf546663f6",
        "dfc9425e4f968f7f0c29f0259cf5f9aed6851c2bb4ad8bfb860cfee0ab248292", false, "foo",
        "f726936d19c800494e3fdaff20b276a8",
        "55a4cc2f70a54e04288c5f4cd1e45a7bb520b36292911876cada7323198dd87a8b36950b95130022907a7fb7c4e9b2d5"
        "f6cca685a587b4b21f4b888e4e7edb0d"},
    {"ED25519", "0305334e381af78f141cb666f6199f57bc3495335a256a95bd2a55bf546663f6",
        "dfc9425e4f968f7f0c29f0259cf5f9aed6851c2bb4ad8bfb860cfee0ab248292", false, "bar",
        "f726936d19c800494e3fdaff20b276a8",
        "fc60d5872fc46b3aa69f8b5b4351d5808f92bcc044606db097abab6dbcb1aee3216c48e8b3b66431b5b186d1d28f8ee1"
        "5a5ca2df6668346291c2043d4eb3e90d"},
    {"ED25519", "0305334e381af78f141cb666f6199f57bc3495335a256a95bd2a55bf546663f6",
        "dfc9425e4f968f7f0c29f0259cf5f9aed6851c2bb4ad8bfb860cfee0ab248292", false, "foo",
        "508e9e6882b979fea900f62adceaca35",
        "8b70c1cc8310e1de20ac53ce28ae6e7207f33c3295e03bb5c0732a1d20dc64908922a8b052cf99b7c4fe107a5abb5b2c"
        "4085ae75890d02df26269d8945f84b0b"},
    {"ED25519", "ab9c2853ce297ddab85c993b3ae14bcad39b2c682beabc27d6d4eb20711d6560",
        "0f1d1274943b91415889152e893d80e93275a1fc0b65fd71b4b0dda10ad7d772", false, "foo",
        "f726936d19c800494e3fdaff20b276a8",
        "21655b5f1aa965996b3f97b3c849eafba922a0a62992f73b3d1b73106a84ad85e9b86a7b6005ea868337ff2d20a7f5fb"
        "d4cd10b0be49a68da2b2e0dc0ad8960f"},
    /* section 7.3 */
    {"ED25519", "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf", true, "", "616263",
        "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae4131f85042463c2a355a2003d062adf5aa"
        "a10b8c61e636062aaad11c2a26083406"},
    /* section 7.4, the one with a context */
    {"ED448",
        "c4eab05d357007c632f3dbb48489924d552b08fe0c353a0d4a1f00acda2c463afbea67c5e8d2877c5e3bc397a659949e"
        "f8021e954e0a12274e",
        "43ba28f430cdff456ae531545f7ecd0ac834a55d9358c0372bfa0c6c6798c0866aea01eb00742802b8438ea4cb82169c"
        "235160627b4c3a9480",
        false, "foo", "03",
        "d4f8f6131770dd46f40867d6fd5d5055de43541f8c5e35abbcd001b32a89f7d2151f7647f11d8ca2ae279fb842d60721"
        "7fce6e042f6815ea000c85741de5c8da1144a6a1aba7f96de42505d7a7298524fda538fccbbb754f578c1cad10d54d0d"
        "5428407e85dcbc98a49155c13764e66c3c00"},
    /* section 7.5 */
    {"ED448",
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42ef7822e0d5104127dc05d6dbefde69e3"
        "ab2cec7c867c6e2c49",
        "259b71c19f83ef77a7abd26524cbdb3161b590a48f7d17de3ee0ba9c52beb743c09428a131d6b1b57303d90d8132c276"
        "d5ed3d5d01c0f53880",
        true, "", "616263",
        "822f6901f7480f3d5f562c592994d9693602875614483256505600bbc281ae381f54d6bce2ea911574932f52a4e6cadd"
        "78769375ec3ffd1b801a0d9b3f4030cd433964b6457ea39476511214f97469b57dd32dbc560a9a94d00bff07620464a3"
        "ad203df7dc7ce360c3cd3696d9d9fab90f00"},
    {"ED448",
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42ef7822e0d5104127dc05d6dbefde69e3"
        "ab2cec7c867c6e2c49",
        "259b71c19f83ef77a7abd26524cbdb3161b590a48f7d17de3ee0ba9c52beb743c09428a131d6b1b57303d90d8132c276"
        "d5ed3d5d01c0f53880",
        true, "foo", "616263",
        "c32299d46ec8ff02b54540982814dce9a05812f81962b649d528095916a2aa481065b1580423ef927ecf0af5888f90da"
        "0f6a9a85ad5dc3f280d91224ba9911a3653d00e484e2ce232521481c8658df304bb7745a73514cdb9bf3e15784ab7128"
        "4f8d0704a608c54a6b62d97beb511d132100"},
};

static const lh_curve *curve(const char *name)
{
    const lh_curve *found = lh_curve_by_name(name);
    assert_non_null(found);
    return found;
}

static lh_key *key_of(const char *name, unsigned long class, unsigned long type, lh_bytes value)
{
    return import_ok(CKK_EC_EDWARDS, class, {CKA_EC_PARAMS, curve(name)->oid}, {type, value});
}

static lh_bytes params_of(lh_buf *buf, bool prehash, lh_bytes context)
{
    *buf = LH_BUF_INIT(512);
    const uint8_t flag = prehash;
    lh_buf_append(buf, &flag, 1);
    put_blob(buf, context);
    return lh_buf_bytes(buf);
}

static void rfc8032(void **state)
{
    (void)state;
    for (size_t i = 0; i < LH_ARRAY_LEN(vectors); i++) {
        LH_AUTO(lh_key_freep)
        lh_key *private = key_of(vectors[i].curve, CKO_PRIVATE_KEY, CKA_VALUE, hex_of(vectors[i].seed));
        LH_AUTO(lh_key_freep)
        lh_key *public = key_of(vectors[i].curve, CKO_PUBLIC_KEY, CKA_EC_POINT, hex_of(vectors[i].point));
        LH_AUTO(lh_buf_free) lh_buf params = {0};
        LH_AUTO(lh_buf_free) lh_buf made = LH_BUF_INIT(256);
        lh_bytes context = LH_BYTES_STR(vectors[i].context);
        lh_bytes message = hex_of(vectors[i].message);
        lh_bytes signature = hex_of(vectors[i].signature);
        tool t = {private, "eddsa", params_of(&params, vectors[i].prehash, context)};
        assert_ok(use(t, LH_USE_SIGN, message, LH_BYTES_NONE, &made));
        assert_bytes_hex(made.data, made.len, vectors[i].signature);
        verify_strictly(t, message, signature);
        t.key = public;
        verify_strictly(t, message, signature);
        assert_refused(use(t, LH_USE_SIGN, message, LH_BYTES_NONE, &made), LH_E_INVALID, "key-type");
        /* Another form is another signature. */
        LH_AUTO(lh_buf_free) lh_buf other = {0};
        t.params = params_of(&other, vectors[i].prehash, LH_BYTES_STR("fop"));
        assert_err(use(t, LH_USE_VERIFY, message, signature, &made), LH_E_SIGNATURE);
        lh_buf_free(&other);
        t.params = params_of(&other, !vectors[i].prehash, context);
        assert_err(use(t, LH_USE_VERIFY, message, signature, &made), LH_E_SIGNATURE);
        t.params = LH_BYTES_NONE;
        assert_err(use(t, LH_USE_VERIFY, message, signature, &made), LH_E_SIGNATURE);
        /* One part only. */
        LH_AUTO(lh_op_freep) lh_op *op = NULL;
        assert_ok(lh_op_begin(crypto, private, row("eddsa"), LH_USE_SIGN, lh_buf_bytes(&params), &op));
        assert_ok(lh_op_update(op, message, &made));
        assert_err(lh_op_update(op, message, &made), LH_E_STATE);
    }
}

static void contexts(void **state)
{
    (void)state;
    static const uint8_t bytes[LH_SIGN_CONTEXT_MAX + 1] = {1};
    static const char *const names[] = {"ED25519", "ED448"};
    for (size_t i = 0; i < 4; i++) {
        LH_AUTO(lh_key_freep)
        lh_key *key = key_of(
            names[i / 2], CKO_PRIVATE_KEY, CKA_VALUE, LH_BYTES(bytes, curve(names[i / 2])->scalar_len));
        LH_AUTO(lh_buf_free) lh_buf params = {0};
        LH_AUTO(lh_buf_free) lh_buf shorter = {0};
        LH_AUTO(lh_buf_free) lh_buf longer = {0};
        LH_AUTO(lh_buf_free) lh_buf made = LH_BUF_INIT(256);
        bool prehash = i % 2;
        tool t = {key, "eddsa", params_of(&params, prehash, LH_BYTES(bytes, 255))};
        sign_and_verify(t, MESSAGE);
        assert_ok(use(t, LH_USE_SIGN, MESSAGE, LH_BYTES_NONE, &made));
        LH_AUTO(lh_buf_free) lh_buf none = LH_BUF_INIT(16);
        t.params = params_of(&shorter, prehash, LH_BYTES(bytes, 254));
        assert_err(use(t, LH_USE_VERIFY, MESSAGE, lh_buf_bytes(&made), &none), LH_E_SIGNATURE);
        t.params = params_of(&longer, prehash, LH_BYTES(bytes, 256));
        assert_refused(use(t, LH_USE_SIGN, MESSAGE, LH_BYTES_NONE, &none), LH_E_INVALID, "mechanism-param");
        /* Nothing to sign is a message, too. */
        t.params = lh_buf_bytes(&params);
        assert_ok(use(t, LH_USE_SIGN, LH_BYTES_NONE, LH_BYTES_NONE, &made));
        assert_ok(use(t, LH_USE_VERIFY, LH_BYTES_NONE, lh_buf_bytes(&made), &none));
        assert_err(use(t, LH_USE_VERIFY, MESSAGE, lh_buf_bytes(&made), &none), LH_E_SIGNATURE);
    }
}

/* Ours, asked for plain EdDSA, is libcrypto's byte for byte. */
static void as_libcrypto(void **state)
{
    (void)state;
    assert_true(lh_edwards_start());
    static const char *const names[] = {"ED25519", "ED448"};
    static const lh_eddsa_form plain;
    uint8_t random[57 + 300];
    for (size_t i = 0; i < 60; i++) {
        lh_random(random, sizeof(random));
        if (i < 20) /* the number that it is may be short */
            memset(random + (i % 2 ? 0 : 48), 0, i % 5);
        const char *name = names[i % 2];
        lh_bytes message = LH_BYTES(random + 57, i * 5);
        LH_AUTO(lh_key_freep)
        lh_key *key = key_of(name, CKO_PRIVATE_KEY, CKA_VALUE, LH_BYTES(random, curve(name)->scalar_len));
        LH_AUTO(lh_buf_free) lh_buf made = LH_BUF_INIT(256);
        uint8_t ours[LH_EDDSA_SIGNATURE_MAX];
        assert_ok(use((tool){key, "eddsa", LH_BYTES_NONE}, LH_USE_SIGN, message, LH_BYTES_NONE, &made));
        assert_ok(lh_eddsa_sign(crypto, key, plain, message, ours));
        assert_memory_equal(ours, made.data, made.len);
        assert_ok(lh_eddsa_verify(crypto, key, plain, message, ours));
        ours[i % made.len] ^= (uint8_t)(1u << i % 8);
        assert_err(lh_eddsa_verify(crypto, key, plain, message, ours), LH_E_SIGNATURE);
    }
}

/* RFC 8032 sections 5.1.7 and 5.2.7: the same residue with the order added is not the signature. */
static void order_added(void **state)
{
    (void)state;
    for (size_t i = 0; i < LH_ARRAY_LEN(vectors); i++) {
        bool is_448 = strcmp(vectors[i].curve, "ED448") == 0;
        lh_bytes order = hex_of(is_448 ? "f34458ab92c27823558fc58d72c26c219036d6ae49db4ec4e923ca7c"
                                         "ffffffffffffffffffffffffffffffffffffffffffffffffffffff3f00"
                                       : "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
        LH_AUTO(lh_key_freep)
        lh_key *key = key_of(vectors[i].curve, CKO_PUBLIC_KEY, CKA_EC_POINT, hex_of(vectors[i].point));
        const lh_eddsa_form form = {vectors[i].prehash, LH_BYTES_STR(vectors[i].context)};
        uint8_t bytes[LH_EDDSA_SIGNATURE_MAX];
        memcpy(bytes, hex_of(vectors[i].signature).data, 2 * order.len);
        assert_ok(lh_eddsa_verify(crypto, key, form, hex_of(vectors[i].message), bytes));
        unsigned carry = 0;
        for (size_t j = 0; j < order.len; j++) {
            carry += bytes[order.len + j] + (unsigned)order.data[j];
            bytes[order.len + j] = (uint8_t)carry;
            carry >>= 8;
        }
        assert_err(lh_eddsa_verify(crypto, key, form, hex_of(vectors[i].message), bytes), LH_E_SIGNATURE);
    }
}

/* Encodings of no point, or of one that has another, verify nothing; nor does anything come of arbitrary
 * ones. */
static void no_points(void **state)
{
    (void)state;
    static const struct {
        const char *curve;
        const char *point;
    } cases[] = {
        {"ED25519",
            "0200000000000000000000000000000000000000000000000000000000000000"}, /* x would be no root */
        {"ED25519", "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"}, /* 1 and the prime */
        {"ED25519", "0100000000000000000000000000000000000000000000000000000000000080"}, /* minus x of 0 */
        {"ED448", "060000000000000000000000000000000000000000000000000000000000000000000000000000000000"
                  "000000000000000000000000000000"}, /* no root */
        {"ED448", "040000000000000000000000000000000000000000000000000000000000000000000000000000000000"
                  "000000000000000000000000000001"}, /* 4 and 2^448 */
        {"ED448", "010000000000000000000000000000000000000000000000000000000000000000000000000000000000"
                  "000000000000000000000000000080"},
    };
    /* The neutral point signs anything: s of 0 and R as it is would verify, did it decode. */
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        const lh_curve *c = curve(cases[i].curve);
        static const uint8_t zero[57];
        uint8_t out[57];
        assert_err(lh_edwards_subtract(crypto, c, LH_BYTES(zero, c->point_len), LH_BYTES(zero, c->point_len),
                       hex_of(cases[i].point), out),
            LH_E_SIGNATURE);
    }
    /* Points of small order are points, whatever they are multiplied by. */
    static const struct {
        const char *curve;
        const char *point;
    } small[] = {
        {"ED25519", "0100000000000000000000000000000000000000000000000000000000000000"},
        {"ED25519", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
        {"ED25519", "0000000000000000000000000000000000000000000000000000000000000000"},
        {"ED25519", "0000000000000000000000000000000000000000000000000000000000000080"},
        {"ED448", "010000000000000000000000000000000000000000000000000000000000000000000000000000000000"
                  "000000000000000000000000000000"},
        {"ED448", "fefffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffffffffffffffffffffff"
                  "ffffffffffffffffffffffffffff00"},
        {"ED448", "000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
                  "000000000000000000000000000000"},
    };
    for (size_t i = 0; i < LH_ARRAY_LEN(small); i++) {
        const lh_curve *c = curve(small[i].curve);
        static const uint8_t zero[57];
        uint8_t four[57] = {0};
        uint8_t out[57];
        four[c->point_len - 1] = 4;
        for (size_t j = 0; j < 2; j++) {
            assert_ok(lh_edwards_subtract(crypto, c, LH_BYTES(zero, c->point_len),
                LH_BYTES(j ? four : zero, c->point_len), hex_of(small[i].point), out));
            assert_int_equal(out[0], 1); /* the neutral one */
            assert_memory_equal(out + 1, zero, c->point_len - 1);
        }
    }
    for (size_t i = 0; i < 200; i++) {
        const lh_curve *c = curve(i % 2 ? "ED448" : "ED25519");
        uint8_t random[4 * 57];
        lh_random(random, sizeof(random));
        if (i % 2 && i % 4 == 1)
            random[56] &= 0x80;
        random[57] = random[114] = 0; /* less than the order */
        lh_err err = lh_edwards_subtract(crypto, c, LH_BYTES(random + 57, c->point_len),
            LH_BYTES(random + 114, c->point_len), LH_BYTES(random, c->point_len), random + 171);
        assert_true(lh_ok(err) || err.code == LH_E_SIGNATURE);
    }
}

static void *work(void *arg)
{
    const lh_key *key = arg;
    static const uint8_t data[64];
    for (size_t i = 0; i < 10; i++) {
        const lh_eddsa_form form = {i % 2 == 1, LH_BYTES_STR("thread")};
        uint8_t signature[LH_EDDSA_SIGNATURE_MAX];
        if (!lh_ok(lh_eddsa_sign(crypto, key, form, LH_BYTES(data, i), signature)) ||
            !lh_ok(lh_eddsa_verify(crypto, key, form, LH_BYTES(data, i), signature)))
            return arg;
        signature[i] ^= 1;
        if (lh_ok(lh_eddsa_verify(crypto, key, form, LH_BYTES(data, i), signature)))
            return arg;
    }
    return NULL;
}

/* Many at once, on the same keys. */
static void threads(void **state)
{
    (void)state;
    static const uint8_t seed[57] = {7};
    lh_key *keys[] = {key_of("ED25519", CKO_PRIVATE_KEY, CKA_VALUE, LH_BYTES(seed, 32)),
        key_of("ED448", CKO_PRIVATE_KEY, CKA_VALUE, LH_BYTES(seed, 57))};
    pthread_t all[32];
    for (size_t i = 0; i < LH_ARRAY_LEN(all); i++)
        assert_int_equal(pthread_create(&all[i], NULL, work, keys[i % 2]), 0);
    for (size_t i = 0; i < LH_ARRAY_LEN(all); i++) {
        void *failed = all;
        assert_int_equal(pthread_join(all[i], &failed), 0);
        assert_null(failed);
    }
    lh_key_free(keys[0]);
    lh_key_free(keys[1]);
}

#define MASK 0xa5

/* How often 16 bytes, given with every byte masked, stand in this process's memory. */
static size_t count_in_memory(const uint8_t masked[16])
{
    static uint8_t page[65536];
    FILE *maps = fopen("/proc/self/maps", "re");
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    assert_non_null(maps);
    assert_true(memory >= 0);
    size_t found = 0;
    char line[512];
    while (fgets(line, sizeof(line), maps)) {
        unsigned long start = 0;
        unsigned long end = 0;
        char mode[5] = "";
        if (sscanf(line, "%lx-%lx %4s", &start, &end, mode) != 3 || mode[0] != 'r' || mode[1] != 'w' ||
            end - start > 64ul << 20)
            continue;
        for (unsigned long at = start; at < end; at += sizeof(page) - 15) {
            size_t want = end - at < sizeof(page) ? end - at : sizeof(page);
            /* Not where this reads to, which would find what it found. */
            bool own = at < (unsigned long)(page + sizeof(page)) && (unsigned long)page < at + want;
            ssize_t got = own ? 0 : pread(memory, page, want, (off_t)at);
            for (ssize_t i = 0; i + 16 <= got; i++) {
                size_t same = 0;
                while (same < 16 && (page[(size_t)i + same] ^ MASK) == masked[same])
                    same++;
                found += same == 16;
            }
        }
    }
    fclose(maps);
    close(memory);
    return found;
}

/* Once a key is gone, neither its seed nor what comes of it is left anywhere, locked memory included. */
static void nothing_left(void **state)
{
    (void)state;
    static const char *const names[] = {"ED25519", "ED448"};
    for (size_t i = 0; i < 2; i++) {
        const lh_curve *c = curve(names[i]);
        size_t len = c->point_len;
        uint8_t masked[3][16]; /* of the seed, the private scalar, the prefix */
        lh_secret *seed = NULL;
        lh_secret *expanded = NULL;
        assert_ok(lh_secret_random(len, &seed));
        assert_ok(lh_secret_new(2 * len, &expanded));
        EVP_MD_CTX *md = EVP_MD_CTX_new();
        assert_int_equal(EVP_DigestInit_ex2(md, i ? EVP_shake256() : EVP_sha512(), NULL), 1);
        assert_int_equal(EVP_DigestUpdate(md, lh_secret_data(seed), len), 1);
        uint8_t *to = lh_secret_data(expanded);
        assert_int_equal(i ? EVP_DigestFinalXOF(md, to, 2 * len) : EVP_DigestFinal_ex(md, to, NULL), 1);
        EVP_MD_CTX_free(md);
        for (size_t j = 0; j < 16; j++) {
            masked[0][j] = (uint8_t)(lh_secret_data(seed)[j + 4] ^ MASK);
            masked[1][j] = (uint8_t)(to[j + 4] ^ MASK);
            masked[2][j] = (uint8_t)(to[len + j + 4] ^ MASK);
        }
        lh_key *key = key_of(names[i], CKO_PRIVATE_KEY, CKA_VALUE, lh_secret_bytes(seed));
        assert_true(count_in_memory(masked[0]) > 0); /* it would be seen */
        assert_true(count_in_memory(masked[1]) > 0);
        lh_secret_free(seed);
        lh_secret_free(expanded);
        uint8_t signature[LH_EDDSA_SIGNATURE_MAX];
        const lh_eddsa_form form = {i == 1, LH_BYTES_STR("context")};
        for (size_t j = 0; j < 3; j++)
            assert_ok(lh_eddsa_sign(crypto, key, form, MESSAGE, signature));
        assert_int_equal(count_in_memory(masked[1]), 0);
        assert_int_equal(count_in_memory(masked[2]), 0);
        lh_key_free(key);
        for (size_t j = 0; j < 3; j++)
            assert_int_equal(count_in_memory(masked[j]), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc8032),
        cmocka_unit_test(contexts),
        cmocka_unit_test(as_libcrypto),
        cmocka_unit_test(order_added),
        cmocka_unit_test(no_points),
        cmocka_unit_test(threads),
        cmocka_unit_test(nothing_left),
    };
    return cmocka_run_group_tests(tests, crypto_setup, crypto_teardown);
}
