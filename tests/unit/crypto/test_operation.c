/* Every mechanism: published vectors, parts, and what is refused. Sources of vectors beside each. */
#include "crypto/operation.h"

#include "support.h"

/* The AES-256 key of SP 800-38A appendix F, its IV and plaintext. */
static const char aes_hex[] = "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4";
static const char iv_hex[] = "000102030405060708090a0b0c0d0e0f";
static const char plain_hex[] = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
                                "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710";

static lh_key *new_key(enum lh_key_kind kind, const char *hex)
{
    LH_AUTO(lh_secret_freep) lh_secret *material = secret_hex(hex);
    lh_key *key = NULL;
    assert_ok(lh_key_new(crypto, kind, material, &key));
    return key;
}

/* The same from 32 bytes, with zeros in front where the kind has longer secrets. */
static lh_key *new_key_of_length(enum lh_key_kind kind, const char *hex)
{
    char padded[2 * LH_KEY_SECRET_MAX + 1];
    size_t more = 2 * lh_key_row_material_len(lh_key_row_by_kind(kind)) - strlen(hex);
    memset(padded, '0', more);
    memcpy(padded + more, hex, strlen(hex) + 1);
    return new_key(kind, padded);
}

static lh_key *made_key(enum lh_key_kind kind)
{
    LH_AUTO(lh_secret_freep) lh_secret *material = NULL;
    lh_key *key = NULL;
    assert_ok(lh_key_make_material(crypto, kind, &material));
    assert_ok(lh_key_new(crypto, kind, material, &key));
    return key;
}

static const lh_mechanism *row(const char *name)
{
    const lh_mechanism *found = lh_mechanism_by_name(name);
    assert_non_null(found);
    return found;
}

/* Carry it out once whole and once in parts of step bytes, and expect the same. */
static void assert_both_ways(lh_op_request request, const char *want)
{
    LH_AUTO(lh_buf_free) lh_buf whole = LH_BUF_INIT(4096);
    assert_ok(lh_op_once(crypto, &request, &whole));
    assert_bytes_hex(whole.data, whole.len, want);
    assert_true(whole.len <= lh_mechanism_output_len(request.row, request.use, 0, request.data.len));
    for (size_t step = 1; request.row->multipart && step < 34; step += 5) {
        LH_AUTO(lh_buf_free) lh_buf parts = LH_BUF_INIT(4096);
        LH_AUTO(lh_op_freep) lh_op *op = NULL;
        assert_ok(lh_op_begin(crypto, request.key, request.row, request.use, request.params, &op));
        for (size_t at = 0; at < request.data.len; at += step) {
            size_t len = request.data.len - at < step ? request.data.len - at : step;
            assert_ok(lh_op_update(op, LH_BYTES(request.data.data + at, len), &parts));
        }
        assert_ok(lh_op_finish(op, request.signature, &parts));
        assert_bytes_hex(parts.data, parts.len, want);
    }
}

static lh_bytes ctr_params(uint32_t bits, const char *block_hex)
{
    static uint8_t params[20];
    params[0] = params[1] = params[2] = 0;
    params[3] = (uint8_t)bits;
    assert_ok(lh_unhex(block_hex, params + 4, 16));
    return LH_BYTES(params, sizeof(params));
}

static void put_u32(lh_buf *buf, size_t v)
{
    const uint8_t be[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    lh_buf_append(buf, be, 4);
}

static lh_bytes gcm_params(lh_buf *buf, lh_bytes iv, lh_bytes aad, size_t bits)
{
    lh_buf_clear(buf);
    put_u32(buf, iv.len);
    lh_buf_append(buf, iv.data, iv.len);
    put_u32(buf, aad.len);
    lh_buf_append(buf, aad.data, aad.len);
    put_u32(buf, bits);
    return lh_buf_bytes(buf);
}

/* SP 800-38A F.1.5, F.2.5 and F.5.5, both directions. */
static void aes_modes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *cipher_hex;
    } cases[] = {
        {"aes-ecb", "f3eed1bdb5d2a03c064b5a7e3db181f8591ccb10d410ed26dc5ba74a31362870"
                    "b6ed21b99ca6f4f9f153e7b1beafed1d23304b7a39f9f3ff067d8d8f9e24ecc7"},
        {"aes-cbc", "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d"
                    "39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b"},
        {"aes-ctr", "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
                    "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6"},
    };
    LH_AUTO(lh_key_freep) lh_key *key = new_key(LH_KEY_AES256, aes_hex);
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        lh_op_request request = {.key = key, .row = row(cases[i].name), .use = LH_USE_ENCRYPT};
        request.params = i == 0   ? LH_BYTES_NONE
                         : i == 1 ? from_hex(iv_hex)
                                  : ctr_params(128, "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
        lh_bytes params = request.params;
        request.data = from_hex(plain_hex);
        assert_both_ways(request, cases[i].cipher_hex);
        request.params = params;
        request.use = LH_USE_DECRYPT;
        request.data = from_hex(cases[i].cipher_hex);
        assert_both_ways(request, plain_hex);
    }
}

/* Every length round-trips; the blocks themselves are plain CBC's. */
static void cbc_pad(void **state)
{
    (void)state;
    LH_AUTO(lh_key_freep) lh_key *key = new_key(LH_KEY_AES256, aes_hex);
    lh_op_request encrypt = {.key = key,
        .row = row("aes-cbc-pad"),
        .use = LH_USE_ENCRYPT,
        .params = from_hex(iv_hex),
        .data = from_hex(plain_hex)};
    for (size_t len = 0; len <= encrypt.data.len; len++) {
        lh_op_request request = encrypt;
        request.data.len = len;
        LH_AUTO(lh_buf_free) lh_buf cipher = LH_BUF_INIT(4096);
        assert_ok(lh_op_once(crypto, &request, &cipher));
        assert_int_equal(cipher.len, (len / 16 + 1) * 16);
        request.use = LH_USE_DECRYPT;
        request.data = lh_buf_bytes(&cipher);
        char want[sizeof(plain_hex)];
        memcpy(want, plain_hex, 2 * len);
        want[2 * len] = '\0';
        assert_both_ways(request, want);
        /* A changed last byte of the block before changes the padding. */
        uint8_t *byte = cipher.len > 16 ? &cipher.data[cipher.len - 17] : NULL;
        if (!byte)
            continue;
        *byte ^= 0x80;
        LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(4096);
        assert_refused(lh_op_once(crypto, &request, &out), LH_E_CORRUPT, "decrypt");
        assert_int_equal(out.len, 0);
    }
}

static void block_lengths(void **state)
{
    (void)state;
    LH_AUTO(lh_key_freep) lh_key *key = new_key(LH_KEY_AES256, aes_hex);
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(4096);
    static const char *const names[] = {"aes-ecb", "aes-cbc", "aes-cbc-pad"};
    for (size_t i = 0; i < LH_ARRAY_LEN(names); i++) {
        for (size_t len = 0; len < 40; len++) {
            lh_op_request request = {.key = key, .row = row(names[i]), .use = LH_USE_DECRYPT};
            request.params = i > 0 ? from_hex(iv_hex) : LH_BYTES_NONE;
            request.data = LH_BYTES(from_hex(plain_hex).data, len);
            bool fits = len % 16 == 0 && (len > 0 || i < 2);
            if (!fits)
                assert_refused(lh_op_once(crypto, &request, &out), LH_E_INVALID, "data-length");
            else if (i < 2)
                assert_ok(lh_op_once(crypto, &request, &out));
            request.use = LH_USE_ENCRYPT;
            if (i < 2 && len % 16 != 0)
                assert_refused(lh_op_once(crypto, &request, &out), LH_E_INVALID, "data-length");
        }
    }
}

/* The counter must not run over its bits: that many blocks are taken and not a byte more. */
static void ctr_overflow(void **state)
{
    (void)state;
    static const struct {
        uint32_t bits;
        const char *block;
        size_t bytes; /* that fit; 0: more than we try */
    } cases[] = {
        {1, "00000000000000000000000000000000", 32},
        {1, "ffffffffffffffffffffffffffffffff", 16},
        {8, "000000000000000000000000000000fd", 48},
        {63, "00000000000000007ffffffffffffffe", 32},
        {64, "0000000000000000ffffffffffffffff", 16},
        {64, "00000000000000000000000000000000", 0},
        {65, "0000000000000000ffffffffffffffff", 0},
        {65, "0000000000000001ffffffffffffffff", 16},
        {128, "fffffffffffffffffffffffffffffffe", 32},
        {128, "00000000000000000000000000000000", 0},
    };
    static const uint8_t zeros[100];
    LH_AUTO(lh_key_freep) lh_key *key = new_key(LH_KEY_AES256, aes_hex);
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(4096);
        lh_op_request request = {.key = key, .row = row("aes-ctr"), .use = LH_USE_ENCRYPT};
        request.params = ctr_params(cases[i].bits, cases[i].block);
        request.data = LH_BYTES(zeros, cases[i].bytes ? cases[i].bytes : sizeof(zeros));
        assert_ok(lh_op_once(crypto, &request, &out));
        request.data.len++;
        if (cases[i].bytes)
            assert_refused(lh_op_once(crypto, &request, &out), LH_E_INVALID, "data-length");
    }
}

/* Python's cryptography package: key 00 … 1f, IV 00 …, aad "aad", several lengths of IV and tag; and the GCM
 * specification's test case 16 is test_aead.c's. */
static void gcm(void **state)
{
    (void)state;
    static const struct {
        size_t iv_len;
        size_t tag_bits;
        const char *want;
    } cases[] = {
        {12, 128, "336ab33bb589a372e335f2f3c5c9170ba3e4b41492022b5a7f327b80fc8a2ce8d9de8c6a4299f0"},
        {16, 96, "1304c55649882b41f38bbe51218443d57481588105f4a78a532489bfb54413739b1528"},
        {60, 104, "3aa9ebb4c91fa7908f7543a0466e8bad9aad8a82521b8920ffb0354b193866dfcef5132f"},
        {128, 112, "eebe8504414dad346a334467ccbd868cadc224f0edc1f664c09bf7782696f95f4ba18348b1"},
    };
    uint8_t run[128];
    for (size_t i = 0; i < sizeof(run); i++)
        run[i] = (uint8_t)i;
    LH_AUTO(lh_key_freep)
    lh_key *key = new_key(LH_KEY_AES256, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    LH_AUTO(lh_buf_free) lh_buf params = LH_BUF_INIT(1024);
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        lh_op_request request = {.key = key, .row = row("aes-gcm"), .use = LH_USE_ENCRYPT};
        request.params =
            gcm_params(&params, LH_BYTES(run, cases[i].iv_len), LH_BYTES_STR("aad"), cases[i].tag_bits);
        request.data = LH_BYTES_STR("the plaintext of 23 byt");
        assert_both_ways(request, cases[i].want);
        request.use = LH_USE_DECRYPT;
        request.data = from_hex(cases[i].want);
        assert_both_ways(request, "74686520706c61696e74657874206f6620323320627974");
    }
}

static void gcm_tampered(void **state)
{
    (void)state;
    LH_AUTO(lh_key_freep) lh_key *key = new_key(LH_KEY_AES256, aes_hex);
    LH_AUTO(lh_buf_free) lh_buf params = LH_BUF_INIT(1024);
    lh_op_request request = {.key = key, .row = row("aes-gcm"), .use = LH_USE_ENCRYPT};
    request.params = gcm_params(&params, LH_BYTES_STR("twelve bytes"), LH_BYTES_STR("aad"), 128);
    request.data = LH_BYTES_STR("attack at dawn");
    LH_AUTO(lh_buf_free) lh_buf sealed = LH_BUF_INIT(1024);
    assert_ok(lh_op_once(crypto, &request, &sealed));
    request.use = LH_USE_DECRYPT;
    request.data = lh_buf_bytes(&sealed);
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(1024);
    for (size_t i = 0; i < sealed.len; i++) {
        sealed.data[i] ^= 0x10;
        assert_refused(lh_op_once(crypto, &request, &out), LH_E_CORRUPT, "decrypt");
        assert_int_equal(out.len, 0);
        sealed.data[i] ^= 0x10;
    }
    for (request.data.len = 16; request.data.len < sealed.len; request.data.len++)
        assert_refused(lh_op_once(crypto, &request, &out), LH_E_CORRUPT, "decrypt");
    for (request.data.len = 0; request.data.len < 16; request.data.len++)
        assert_refused(lh_op_once(crypto, &request, &out), LH_E_INVALID, "data-length");
    /* Fed in parts, not a byte comes out before the end, and none at a bad end. */
    LH_AUTO(lh_op_freep) lh_op *op = NULL;
    assert_ok(lh_op_begin(crypto, key, request.row, LH_USE_DECRYPT, request.params, &op));
    sealed.data[0] ^= 1;
    for (size_t i = 0; i < sealed.len; i++) {
        assert_ok(lh_op_update(op, LH_BYTES(sealed.data + i, 1), &out));
        assert_int_equal(out.len, 0);
    }
    assert_refused(lh_op_finish(op, LH_BYTES_NONE, &out), LH_E_CORRUPT, "decrypt");
    assert_int_equal(out.len, 0);
    assert_err(lh_op_update(op, LH_BYTES_STR("x"), &out), LH_E_STATE);
    assert_err(lh_op_finish(op, LH_BYTES_NONE, &out), LH_E_STATE);
}

static void gcm_held_back_limit(void **state)
{
    (void)state;
    LH_AUTO(lh_key_freep) lh_key *key = new_key(LH_KEY_AES256, aes_hex);
    LH_AUTO(lh_buf_free) lh_buf params = LH_BUF_INIT(1024);
    lh_bytes p = gcm_params(&params, LH_BYTES_STR("twelve bytes"), LH_BYTES_NONE, 128);
    LH_AUTO(lh_op_freep) lh_op *op = NULL;
    assert_ok(lh_op_begin(crypto, key, row("aes-gcm"), LH_USE_DECRYPT, p, &op));
    LH_AUTO(lh_buf_free) lh_buf big = LH_BUF_INIT(LH_OP_BUFFER_MAX + 1);
    memset(lh_buf_extend(&big, LH_OP_BUFFER_MAX + 1), 0, LH_OP_BUFFER_MAX + 1);
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(1024);
    assert_ok(lh_op_update(op, LH_BYTES(big.data, LH_OP_BUFFER_MAX), &out));
    assert_refused(lh_op_update(op, LH_BYTES(big.data, 1), &out), LH_E_INVALID, "data-length");
    assert_err(lh_op_finish(op, LH_BYTES_NONE, &out), LH_E_STATE);
}

/* As much is encrypted as can be decrypted, and not a byte more. */
static void gcm_encrypts_what_it_decrypts(void **state)
{
    (void)state;
    LH_AUTO(lh_key_freep) lh_key *key = new_key(LH_KEY_AES256, aes_hex);
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(LH_OP_BUFFER_MAX);
    memset(lh_buf_extend(&text, LH_OP_BUFFER_MAX), 7, LH_OP_BUFFER_MAX);
    for (size_t tag = 12; tag <= 16; tag++) {
        LH_AUTO(lh_buf_free) lh_buf params = LH_BUF_INIT(1024);
        LH_AUTO(lh_buf_free) lh_buf sealed = LH_BUF_INIT(LH_OP_BUFFER_MAX);
        LH_AUTO(lh_buf_free) lh_buf opened = LH_BUF_INIT(LH_OP_BUFFER_MAX);
        lh_op_request request = {.key = key, .row = row("aes-gcm"), .use = LH_USE_ENCRYPT};
        request.params = gcm_params(&params, LH_BYTES_STR("twelve bytes"), LH_BYTES_NONE, tag * 8);
        request.data = LH_BYTES(text.data, LH_OP_BUFFER_MAX - tag + 1);
        assert_refused(lh_op_once(crypto, &request, &sealed), LH_E_INVALID, "data-length");
        LH_AUTO(lh_op_freep) lh_op *op = NULL;
        assert_ok(lh_op_begin(crypto, key, request.row, LH_USE_ENCRYPT, request.params, &op));
        assert_ok(lh_op_update(op, LH_BYTES(text.data, request.data.len - 1), &opened));
        assert_refused(lh_op_update(op, LH_BYTES(text.data, 1), &opened), LH_E_INVALID, "data-length");
        lh_buf_clear(&opened);
        request.data.len--;
        assert_ok(lh_op_once(crypto, &request, &sealed));
        assert_int_equal(sealed.len, LH_OP_BUFFER_MAX);
        request.use = LH_USE_DECRYPT;
        request.data = lh_buf_bytes(&sealed);
        assert_ok(lh_op_once(crypto, &request, &opened));
        assert_int_equal(opened.len, LH_OP_BUFFER_MAX - tag);
        assert_memory_equal(opened.data, text.data, opened.len);
    }
}

static void assert_param_refused(const lh_key *key, const char *name, lh_bytes params)
{
    lh_op *op = NULL;
    unsigned use = row(name)->uses & (LH_USE_ENCRYPT | LH_USE_SIGN | LH_USE_DIGEST);
    assert_refused(lh_op_begin(crypto, key, row(name), use, params, &op), LH_E_INVALID, "mechanism-param");
    assert_null(op);
}

static void params_refused(void **state)
{
    (void)state;
    static const uint8_t zeros[256];
    LH_AUTO(lh_key_freep) lh_key *aes = new_key(LH_KEY_AES256, aes_hex);
    LH_AUTO(lh_key_freep) lh_key *ec = new_key(LH_KEY_EC_P256, aes_hex);
    LH_AUTO(lh_key_freep) lh_key *ed = new_key(LH_KEY_ED25519, aes_hex);
    LH_AUTO(lh_key_freep) lh_key *mac = new_key(LH_KEY_HMAC_SHA256, aes_hex);
    assert_param_refused(ec, "ecdsa", LH_BYTES(zeros, 1));
    assert_param_refused(ec, "ecdsa-sha256", LH_BYTES(zeros, 1));
    assert_param_refused(ed, "eddsa", LH_BYTES(zeros, 1));
    assert_param_refused(mac, "hmac-sha256", LH_BYTES(zeros, 1));
    assert_param_refused(NULL, "sha256", LH_BYTES(zeros, 1));
    assert_param_refused(aes, "aes-ecb", LH_BYTES(zeros, 16));
    static const char *const with_iv[] = {"aes-cbc", "aes-cbc-pad"};
    for (size_t i = 0; i < 2; i++)
        for (size_t len = 0; len < 33; len++)
            if (len != 16)
                assert_param_refused(aes, with_iv[i], LH_BYTES(zeros, len));
    assert_param_refused(aes, "aes-ctr", LH_BYTES_NONE);
    assert_param_refused(aes, "aes-ctr", LH_BYTES(ctr_params(128, iv_hex).data, 19));
    assert_param_refused(aes, "aes-ctr", ctr_params(0, iv_hex));
    assert_param_refused(aes, "aes-ctr", ctr_params(129, iv_hex));
    LH_AUTO(lh_buf_free) lh_buf params = LH_BUF_INIT(4096);
    static const size_t tags[] = {0, 8, 32, 64, 88, 97, 127, 129, 136, 256, 0xffffffff};
    for (size_t i = 0; i < LH_ARRAY_LEN(tags); i++)
        assert_param_refused(
            aes, "aes-gcm", gcm_params(&params, LH_BYTES(zeros, 12), LH_BYTES_NONE, tags[i]));
    assert_param_refused(aes, "aes-gcm", gcm_params(&params, LH_BYTES_NONE, LH_BYTES_NONE, 128));
    assert_param_refused(
        aes, "aes-gcm", gcm_params(&params, LH_BYTES(zeros, LH_GCM_IV_MAX + 1), LH_BYTES_NONE, 128));
    lh_bytes good = gcm_params(&params, LH_BYTES(zeros, 12), LH_BYTES(zeros, 3), 128);
    for (size_t len = 0; len < good.len; len++)
        assert_param_refused(aes, "aes-gcm", LH_BYTES(good.data, len));
    lh_buf_append(&params, zeros, 1);
    assert_param_refused(aes, "aes-gcm", lh_buf_bytes(&params));
}

/* FIPS 180-4's "abc". */
static void digests(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *want;
    } cases[] = {
        {"sha1", "a9993e364706816aba3e25717850c26c9cd0d89d"},
        {"sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"sha384", "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca13"
                   "4c825a7"},
        {"sha512", "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                   "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
    };
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        lh_op_request request = {
            .row = row(cases[i].name), .use = LH_USE_DIGEST, .data = LH_BYTES_STR("abc")};
        assert_both_ways(request, cases[i].want);
        assert_int_equal(strlen(cases[i].want) / 2, request.row->max_output);
    }
}

static void verify_all(const lh_key *key, const char *name, lh_bytes data, lh_bytes signature)
{
    lh_op_request request = {
        .key = key, .row = row(name), .use = LH_USE_VERIFY, .data = data, .signature = signature};
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(128);
    assert_ok(lh_op_once(crypto, &request, &out));
    uint8_t changed[128];
    memcpy(changed, signature.data, signature.len);
    request.signature = LH_BYTES(changed, signature.len);
    for (size_t i = 0; i < signature.len; i++) {
        changed[i] ^= 1;
        assert_err(lh_op_once(crypto, &request, &out), LH_E_SIGNATURE);
        changed[i] ^= 1;
    }
    for (size_t len = 0; len <= sizeof(changed); len++) {
        request.signature.len = len;
        if (len != signature.len)
            assert_refused(lh_op_once(crypto, &request, &out), LH_E_INVALID, "signature-length");
    }
    request.signature = signature;
    memcpy(changed, data.data, data.len);
    changed[0] ^= 1;
    request.data = LH_BYTES(changed, data.len);
    assert_err(lh_op_once(crypto, &request, &out), LH_E_SIGNATURE);
    assert_int_equal(out.len, 0);
}

/* RFC 4231 test case 1's data under a key of 32 bytes; the MAC is from Python's hmac. */
static void hmac(void **state)
{
    (void)state;
    LH_AUTO(lh_key_freep)
    lh_key *key =
        new_key(LH_KEY_HMAC_SHA256, "42b4e537b16798e3a8ffdfccfa3e6379b7446a66db50d03fdeb83fe02eb29fb7");
    static const char want[] = "05d091a1d2c99f972cbe718865f102fba7493140da5906ae4b4b9dc336860bf3";
    lh_op_request request = {
        .key = key, .row = row("hmac-sha256"), .use = LH_USE_SIGN, .data = LH_BYTES_STR("abc")};
    assert_both_ways(request, want);
    verify_all(key, "hmac-sha256", LH_BYTES_STR("abc"), from_hex(want));
}

/* RFC 8032 section 7.1, TEST 1 and TEST 2. */
static void eddsa(void **state)
{
    (void)state;
    LH_AUTO(lh_key_freep)
    lh_key *one = new_key(LH_KEY_ED25519, "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
    lh_op_request request = {.key = one, .row = row("eddsa"), .use = LH_USE_SIGN};
    assert_both_ways(request, "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
                              "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b");
    LH_AUTO(lh_key_freep)
    lh_key *two = new_key(LH_KEY_ED25519, "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
    static const char want[] = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                               "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
    request.key = two;
    request.data = from_hex("72");
    assert_both_ways(request, want);
    verify_all(two, "eddsa", from_hex("72"), from_hex(want));
    /* S plus the group's order is the same residue and must not verify: RFC 8032 section 5.1.7. */
    LH_AUTO(lh_key_freep) lh_key *public_only = NULL;
    assert_ok(lh_key_new_public(crypto, LH_KEY_ED25519,
        from_hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"), &public_only));
    verify_all(public_only, "eddsa", from_hex("72"), from_hex(want));
    uint8_t malleable[64];
    memcpy(malleable, from_hex(want).data, 64);
    lh_bytes order = from_hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    unsigned carry = 0;
    for (size_t i = 0; i < 32; i++) {
        carry += malleable[32 + i] + (unsigned)order.data[i];
        malleable[32 + i] = (uint8_t)carry;
        carry >>= 8;
    }
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(128);
    lh_op_request verify = {.key = two, .row = row("eddsa"), .use = LH_USE_VERIFY, .data = from_hex("72")};
    verify.signature = LH_BYTES(malleable, 64);
    assert_err(lh_op_once(crypto, &verify, &out), LH_E_SIGNATURE);
    /* One part only. */
    LH_AUTO(lh_op_freep) lh_op *op = NULL;
    assert_ok(lh_op_begin(crypto, two, row("eddsa"), LH_USE_SIGN, LH_BYTES_NONE, &op));
    assert_ok(lh_op_update(op, LH_BYTES_STR("a"), &out));
    assert_err(lh_op_update(op, LH_BYTES_STR("b"), &out), LH_E_STATE);
}

/* RFC 6979 appendix A.2.5: the key, and its signatures over "sample". */
static const char rfc6979_key[] = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";
static const char sample_sha256[] = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
                                    "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";
static const char sample_sha384[] = "0eafea039b20e9b42309fb1d89e213057cbf973dc0cfc8f129edddc800ef7719"
                                    "4861f0491e6998b9455193e34e7b0d284ddd7149a74b95b9261f13abde940954";
static const char sample_sha512[] = "8496a60b5e9b47c825488827e0495b0e3fa109ec4568fd3f8d1097678eb97f00"
                                    "2362ab1adbe2b8adf9cb9edab740ea6049c028114f2460f96554f61fae3302fe";

static void ecdsa(void **state)
{
    (void)state;
    LH_AUTO(lh_key_freep) lh_key *key = new_key(LH_KEY_EC_P256, rfc6979_key);
    LH_AUTO(lh_buf_free) lh_buf point = LH_BUF_INIT(65);
    assert_ok(lh_key_public_point(key, &point));
    assert_bytes_hex(point.data, point.len,
        "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
        "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299");
    lh_bytes sample = LH_BYTES_STR("sample");
    verify_all(key, "ecdsa-sha256", sample, from_hex(sample_sha256));
    verify_all(key, "ecdsa-sha384", sample, from_hex(sample_sha384));
    verify_all(key, "ecdsa-sha512", sample, from_hex(sample_sha512));
    static const char *const names[] = {"ecdsa", "ecdsa-sha256", "ecdsa-sha384", "ecdsa-sha512"};
    for (size_t i = 0; i < LH_ARRAY_LEN(names); i++) {
        LH_AUTO(lh_buf_free) lh_buf made = LH_BUF_INIT(64);
        lh_op_request request = {.key = key, .row = row(names[i]), .use = LH_USE_SIGN, .data = sample};
        assert_ok(lh_op_once(crypto, &request, &made));
        assert_int_equal(made.len, 64);
        verify_all(key, names[i], sample, lh_buf_bytes(&made));
    }
}

/* Raw ECDSA over a longer hash uses its leftmost 32 bytes: the RFC's SHA-384 and SHA-512 signatures verify
 * over the whole hash and over its beginning. */
static void raw_ecdsa_truncates(void **state)
{
    (void)state;
    LH_AUTO(lh_key_freep) lh_key *key = new_key(LH_KEY_EC_P256, rfc6979_key);
    LH_AUTO(lh_buf_free) lh_buf hash = LH_BUF_INIT(64);
    lh_op_request digest = {.row = row("sha512"), .use = LH_USE_DIGEST, .data = LH_BYTES_STR("sample")};
    assert_ok(lh_op_once(crypto, &digest, &hash));
    verify_all(key, "ecdsa", lh_buf_bytes(&hash), from_hex(sample_sha512));
    verify_all(key, "ecdsa", LH_BYTES(hash.data, 32), from_hex(sample_sha512));
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(64);
    uint8_t long_hash[65] = {1};
    lh_op_request request = {.key = key, .row = row("ecdsa"), .use = LH_USE_SIGN};
    request.data = LH_BYTES(long_hash, 65);
    assert_refused(lh_op_once(crypto, &request, &out), LH_E_INVALID, "data-length");
    request.data = LH_BYTES_NONE;
    assert_refused(lh_op_once(crypto, &request, &out), LH_E_INVALID, "data-length");
    request.data = LH_BYTES(long_hash, 20);
    assert_ok(lh_op_once(crypto, &request, &out));
}

/* r and s out of range: zero, the order, more than the order. */
static void ecdsa_out_of_range(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
        "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632552",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    };
    LH_AUTO(lh_key_freep) lh_key *key = new_key(LH_KEY_EC_P256, rfc6979_key);
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(64);
    for (size_t i = 0; i < LH_ARRAY_LEN(bad); i++) {
        for (size_t half = 0; half < 3; half++) {
            uint8_t signature[64];
            memcpy(signature, from_hex(sample_sha256).data, 64);
            if (half != 1)
                memcpy(signature, from_hex(bad[i]).data, 32);
            if (half != 0)
                memcpy(signature + 32, from_hex(bad[i]).data, 32);
            lh_op_request request = {.key = key,
                .row = row("ecdsa-sha256"),
                .use = LH_USE_VERIFY,
                .data = LH_BYTES_STR("sample"),
                .signature = LH_BYTES(signature, 64)};
            assert_err(lh_op_once(crypto, &request, &out), LH_E_SIGNATURE);
        }
    }
}

static void uses_and_keys_refused(void **state)
{
    (void)state;
    lh_key *all[LH_KEY_KIND_COUNT] = {NULL};
    for (int kind = LH_KEY_NONE + 1; kind < LH_KEY_KIND_COUNT; kind++)
        all[kind] = lh_key_row_by_kind((enum lh_key_kind)kind)->made
                        ? made_key((enum lh_key_kind)kind)
                        : new_key_of_length((enum lh_key_kind)kind, rfc6979_key);
    const lh_mechanism *at = NULL;
    for (size_t i = 0; (at = lh_mechanism_at(i)) != NULL; i++) {
        for (unsigned use = 0; use < 64; use++) {
            bool single = use != 0 && (use & (use - 1)) == 0;
            bool offered = single && (at->uses & use) != 0;
            lh_op *op = NULL;
            for (int kind = 0; kind < LH_KEY_KIND_COUNT; kind++) {
                const lh_key_row *key = lh_key_row_by_kind((enum lh_key_kind)kind);
                bool fits = key ? lh_mechanism_fits_type(at, key->ck_type) : at->keys == 0;
                if (!offered)
                    assert_refused(lh_op_begin(crypto, all[kind], at, use, LH_BYTES_NONE, &op), LH_E_INVALID,
                        "mechanism-use");
                else if (!fits)
                    assert_refused(lh_op_begin(crypto, all[kind], at, use, LH_BYTES_NONE, &op), LH_E_INVALID,
                        "key-type");
            }
            assert_null(op);
        }
    }
    LH_AUTO(lh_buf_free) lh_buf point = LH_BUF_INIT(65);
    assert_ok(lh_key_public_point(all[LH_KEY_EC_P256], &point));
    LH_AUTO(lh_key_freep) lh_key *public_only = NULL;
    assert_ok(lh_key_new_public(crypto, LH_KEY_EC_P256, lh_buf_bytes(&point), &public_only));
    lh_op *op = NULL;
    assert_refused(lh_op_begin(crypto, public_only, row("ecdsa"), LH_USE_SIGN, LH_BYTES_NONE, &op),
        LH_E_INVALID, "key-type");
    verify_all(public_only, "ecdsa-sha256", LH_BYTES_STR("sample"), from_hex(sample_sha256));
    for (int kind = 0; kind < LH_KEY_KIND_COUNT; kind++)
        lh_key_free(all[kind]);
}

static void no_room(void **state)
{
    (void)state;
    LH_AUTO(lh_key_freep) lh_key *key = new_key(LH_KEY_EC_P256, rfc6979_key);
    LH_AUTO(lh_buf_free) lh_buf small = LH_BUF_INIT(63);
    lh_op_request request = {
        .key = key, .row = row("ecdsa"), .use = LH_USE_SIGN, .data = LH_BYTES_STR("hash")};
    assert_err(lh_op_once(crypto, &request, &small), LH_E_LIMIT);
    assert_int_equal(small.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aes_modes),
        cmocka_unit_test(cbc_pad),
        cmocka_unit_test(block_lengths),
        cmocka_unit_test(ctr_overflow),
        cmocka_unit_test(gcm),
        cmocka_unit_test(gcm_tampered),
        cmocka_unit_test(gcm_held_back_limit),
        cmocka_unit_test(gcm_encrypts_what_it_decrypts),
        cmocka_unit_test(params_refused),
        cmocka_unit_test(digests),
        cmocka_unit_test(hmac),
        cmocka_unit_test(eddsa),
        cmocka_unit_test(ecdsa),
        cmocka_unit_test(raw_ecdsa_truncates),
        cmocka_unit_test(ecdsa_out_of_range),
        cmocka_unit_test(uses_and_keys_refused),
        cmocka_unit_test(no_room),
    };
    return cmocka_run_group_tests(tests, crypto_setup, crypto_teardown);
}
