/* The agent's holder, with a vault that the test plays and a TPM of its own. */
#include "../custody_fixture.h"

#include "crypto/operation.h"
#include "custody/holder.h"
#include "wire/link.h"

#define HANDLE 42u

enum kind { SENT, REPLIED, RELAYED };

typedef struct {
    enum kind kind;
    uint8_t type;
    uint32_t stream;
    size_t len;
    uint8_t bytes[LH_LIMIT_MESSAGE];
} said;

static custody c;
static lh_holder *holder;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t come = PTHREAD_COND_INITIALIZER;
static said *last;
static unsigned count, seen;
static uint64_t request_id;
static uint32_t stream_number = 7;

static void keep(enum kind kind, uint8_t type, uint32_t stream, lh_bytes bytes)
{
    pthread_mutex_lock(&mutex);
    *last = (said){.kind = kind, .type = type, .stream = stream, .len = bytes.len};
    memcpy(last->bytes, bytes.data, bytes.len);
    count++;
    pthread_cond_signal(&come);
    pthread_mutex_unlock(&mutex);
}

/* Who holds it keeps the holder's thread busy, as a slow TPM does. */
static pthread_mutex_t slow = PTHREAD_MUTEX_INITIALIZER;

static void on_send(void *arg, uint32_t stream, uint8_t type, lh_bytes body)
{
    (void)arg;
    pthread_mutex_lock(&slow);
    pthread_mutex_unlock(&slow);
    keep(SENT, type, stream, body);
}

static void on_reply(void *arg, uint32_t stream, lh_bytes message)
{
    (void)arg;
    keep(REPLIED, 0, stream, message);
}

static void on_relay(void *arg, uint32_t stream, lh_bytes message)
{
    (void)arg;
    keep(RELAYED, 0, stream, message);
}

/* The next thing that it says. */
static said *next(enum kind kind)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    pthread_mutex_lock(&mutex);
    int rc = 0;
    while (count == seen && rc == 0)
        rc = pthread_cond_timedwait(&come, &mutex, &until);
    const unsigned more = count - seen;
    seen = count;
    pthread_mutex_unlock(&mutex);
    assert_int_equal(more, 1);
    assert_int_equal(last->kind, kind);
    return last;
}

static int setup(void **state)
{
    (void)state;
    custody_setup(&c);
    last = calloc(1, sizeof(*last));
    count = seen = 0;
    const lh_holder_options options = {
        .tpm = c.tpm, .crypto = c.crypto, .send = on_send, .reply = on_reply, .relay = on_relay};
    assert_lh_ok(lh_holder_new(&options, &holder));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lh_holder_free(holder);
    custody_teardown(&c);
    free(last);
    return 0;
}

/* --- the application's side ------------------------------------------------------------------------------
 */

static bool ask(enum lh_call call, const void *body)
{
    LH_AUTO(lh_buf_free) lh_buf message = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    assert_lh_ok(lh_call_request(call, ++request_id, body, &message));
    return lh_holder_request(holder, stream_number, lh_buf_bytes(&message));
}

static bool ask_operate(enum lh_call call, unsigned long mechanism, lh_bytes params, lh_bytes data)
{
    const lh_operate_request body = {
        .handle = HANDLE, .mechanism = mechanism, .params = params, .data = data};
    return ask(call, &body);
}

static bool ask_sign(void)
{
    return ask_operate(LH_CALL_SIGN, CKM_ECDSA_SHA256, LH_BYTES_NONE, LH_BYTES_STR("text"));
}

static lh_err answer(void *ret)
{
    const said *s = next(REPLIED);
    assert_int_equal(s->stream, stream_number);
    lh_message_header header;
    lh_bytes body;
    assert_lh_ok(lh_message_decode(LH_BYTES(s->bytes, s->len), &header, &body));
    assert_int_equal(header.id, request_id);
    return lh_call_decode_reply(&header, body, ret);
}

static void check_signature(void)
{
    lh_output_reply reply = {0};
    assert_lh_ok(answer(&reply));
    const lh_op_request op = {.key = c.key,
        .row = lh_mechanism_by_type(CKM_ECDSA_SHA256),
        .use = LH_USE_VERIFY,
        .data = LH_BYTES_STR("text"),
        .signature = reply.output};
    LH_AUTO(lh_buf_free) lh_buf none = LH_BUF_INIT(16);
    assert_lh_ok(lh_op_once(c.crypto, &op, &none));
}

/* --- the vault's ------------------------------------------------------------------------------------------
 */

static void frame(uint8_t type, uint32_t stream, const void *value)
{
    LH_AUTO(lh_buf_free) lh_buf body = LH_BUF_INIT(LH_LINK_FRAME_MAX);
    assert_lh_ok(lh_shape_encode(lh_link_find(type)->body, value, &body));
    assert_lh_ok(lh_holder_frame(holder, type, stream, lh_buf_bytes(&body)));
}

static int32_t give_key(enum lh_key_kind kind, unsigned long mechanism, int32_t seconds)
{
    uint8_t mechanisms[8] = {0};
    for (unsigned i = 0; i < 8; i++)
        mechanisms[i] = (uint8_t)((uint64_t)mechanism >> (56 - 8 * i));
    lh_link_lease_key f = {.request = request_id,
        .handle = HANDLE,
        .kind = (uint8_t)kind,
        .mechanisms = LH_BYTES(mechanisms, 8),
        .public_area = lh_buf_bytes(&c.package.public_area),
        .duplicate = lh_buf_bytes(&c.package.duplicate),
        .seed = lh_buf_bytes(&c.package.seed),
        .approver = lh_approver_public(c.approver),
        .pcr_mask = c.terms.pcr_mask,
        .reset_count = c.terms.reset_count,
        .restart_count = c.terms.restart_count,
        .pin_index = c.terms.pin_index};
    memcpy(f.lease, c.terms.lease, 16);
    const int32_t expiration = (int32_t)(custody_time(&c).time_ms / 1000) + seconds;
    f.expiration = (uint32_t)expiration;
    assert_lh_ok(lh_custody_approve(c.crypto, c.approver, c.terms.lease, expiration, f.signature));
    frame(LH_LINK_LEASE_KEY, stream_number, &f);
    return expiration;
}

static int32_t approve_more(int32_t seconds)
{
    lh_link_approval f = {.expiration = (uint32_t)(custody_time(&c).time_ms / 1000) + (uint32_t)seconds};
    memcpy(f.lease, c.terms.lease, 16);
    assert_lh_ok(lh_custody_approve(c.crypto, c.approver, c.terms.lease, (int32_t)f.expiration, f.signature));
    frame(LH_LINK_APPROVAL, 0, &f);
    return (int32_t)f.expiration;
}

/* The first use, for which the vault gives the key. */
static void begin_ec(int32_t seconds)
{
    custody_pack(&c, custody_key(&c, LH_KEY_EC_P256));
    assert_false(ask_sign());
    give_key(LH_KEY_EC_P256, CKM_ECDSA_SHA256, seconds);
}

/* --- cases ------------------------------------------------------------------------------------------------
 */

static void test_signs(void **state)
{
    (void)state;
    begin_ec(60);
    check_signature();
    for (unsigned i = 0; i < 3; i++) {
        assert_true(ask_sign());
        check_signature();
    }
    /* Another handle, and what is public, is the vault's. */
    lh_operate_request other = {.handle = HANDLE + 1, .mechanism = CKM_ECDSA_SHA256};
    assert_false(ask(LH_CALL_SIGN, &other));
    other.handle = HANDLE;
    assert_false(ask(LH_CALL_VERIFY, &other));
    assert_false(ask(LH_CALL_TOKEN_INFO, NULL));
    /* Another mechanism is refused without the TPM. */
    assert_true(ask_operate(LH_CALL_SIGN, CKM_ECDSA, LH_BYTES_NONE, LH_BYTES(custody_digest, 32)));
    lh_output_reply reply;
    assert_lh_refused(answer(&reply), LH_E_DENIED, "mechanism");
    assert_true(ask_operate(LH_CALL_ENCRYPT, CKM_ECDSA_SHA256, LH_BYTES_NONE, LH_BYTES(custody_digest, 32)));
    assert_lh_refused(answer(&reply), LH_E_INVALID, "mechanism-use");
}

static void test_digests(void **state)
{
    (void)state;
    const struct {
        enum lh_key_kind kind;
        unsigned long mechanism;
        size_t len;
    } cases[] = {{LH_KEY_EC_P256, CKM_ECDSA, 20}, {LH_KEY_EC_P256, CKM_ECDSA, 64},
        {LH_KEY_EC_P256, CKM_ECDSA_SHA512, 33}, {LH_KEY_EC_P384, CKM_ECDSA, 32},
        {LH_KEY_EC_P384, CKM_ECDSA_SHA256, 5}, {LH_KEY_EC_P384, CKM_ECDSA_SHA384, 60}};
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        custody_pack(&c, custody_key(&c, cases[i].kind));
        lh_holder_stream_closed(holder, stream_number++);
        const lh_bytes data = LH_BYTES(custody_digest, cases[i].len);
        assert_false(ask_operate(LH_CALL_SIGN, cases[i].mechanism, LH_BYTES_NONE, data));
        give_key(cases[i].kind, cases[i].mechanism, 60);
        lh_output_reply reply = {0};
        assert_lh_ok(answer(&reply));
        const lh_op_request op = {.key = c.key,
            .row = lh_mechanism_by_type(cases[i].mechanism),
            .use = LH_USE_VERIFY,
            .data = data,
            .signature = reply.output};
        LH_AUTO(lh_buf_free) lh_buf none = LH_BUF_INIT(16);
        assert_lh_ok(lh_op_once(c.crypto, &op, &none));
    }
}

static uint64_t begin_op(unsigned use, unsigned long mechanism, lh_bytes params)
{
    const lh_op_begin_request body = {
        .use = (uint8_t)use, .handle = HANDLE, .mechanism = mechanism, .params = params};
    assert_true(ask(LH_CALL_OP_BEGIN, &body));
    lh_op_begin_reply reply = {0};
    assert_lh_ok(answer(&reply));
    assert_true(reply.operation & LH_HOLDER_OPERATION);
    return reply.operation;
}

static void feed(uint64_t operation, lh_bytes data, bool end, lh_buf *out)
{
    const lh_op_finish_request body = {.operation = operation, .data = data};
    const lh_op_update_request part = {.operation = operation, .data = data};
    assert_true(ask(end ? LH_CALL_OP_FINISH : LH_CALL_OP_UPDATE, end ? (const void *)&body : &part));
    lh_output_reply reply = {0};
    assert_lh_ok(answer(&reply));
    lh_buf_append(out, reply.output.data, reply.output.len);
}

static void test_parts(void **state)
{
    (void)state;
    begin_ec(60);
    check_signature();
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(4096);
    uint64_t o = begin_op(LH_USE_SIGN, CKM_ECDSA_SHA256, LH_BYTES_NONE);
    feed(o, LH_BYTES_STR("te"), false, &out);
    feed(o, LH_BYTES_STR("xt"), true, &out);
    const lh_op_request op = {.key = c.key,
        .row = lh_mechanism_by_type(CKM_ECDSA_SHA256),
        .use = LH_USE_VERIFY,
        .data = LH_BYTES_STR("text"),
        .signature = lh_buf_bytes(&out)};
    LH_AUTO(lh_buf_free) lh_buf none = LH_BUF_INIT(16);
    assert_lh_ok(lh_op_once(c.crypto, &op, &none));
    /* It has ended. */
    const lh_op_update_request part = {.operation = o};
    assert_true(ask(LH_CALL_OP_UPDATE, &part));
    lh_output_reply reply;
    assert_lh_refused(answer(&reply), LH_E_NOT_FOUND, "no-operation");
    /* One of the vault's is the vault's. */
    const lh_op_update_request vaults = {.operation = 1};
    assert_false(ask(LH_CALL_OP_UPDATE, &vaults));
    o = begin_op(LH_USE_SIGN, CKM_ECDSA_SHA256, LH_BYTES_NONE);
    const lh_op_cancel_request cancel = {.operation = o};
    assert_true(ask(LH_CALL_OP_CANCEL, &cancel));
    assert_lh_ok(answer(NULL));
    const lh_op_update_request cancelled = {.operation = o};
    assert_true(ask(LH_CALL_OP_UPDATE, &cancelled));
    assert_lh_refused(answer(&reply), LH_E_NOT_FOUND, "no-operation");
}

static void test_cipher_parts(void **state)
{
    (void)state;
    static const uint8_t iv[16] = "initialisation .";
    static uint8_t data[1500];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)i;
    custody_pack(&c, custody_key(&c, LH_KEY_AES256));
    assert_false(
        ask_operate(LH_CALL_ENCRYPT, CKM_AES_CBC_PAD, LH_BYTES(iv, 16), LH_BYTES(data, sizeof(data))));
    give_key(LH_KEY_AES256, CKM_AES_CBC_PAD, 60);
    lh_output_reply whole = {0};
    assert_lh_ok(answer(&whole));
    LH_AUTO(lh_buf_free) lh_buf want = LH_BUF_INIT(4096);
    const lh_op_request op = {.key = c.key,
        .row = lh_mechanism_by_type(CKM_AES_CBC_PAD),
        .use = LH_USE_ENCRYPT,
        .params = LH_BYTES(iv, 16),
        .data = LH_BYTES(data, sizeof(data))};
    assert_lh_ok(lh_op_once(c.crypto, &op, &want));
    assert_true(lh_bytes_equal(whole.output, lh_buf_bytes(&want)));
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(4096);
    LH_AUTO(lh_buf_free) lh_buf back = LH_BUF_INIT(4096);
    uint64_t o = begin_op(LH_USE_ENCRYPT, CKM_AES_CBC_PAD, LH_BYTES(iv, 16));
    for (size_t at = 0; at < sizeof(data); at += 300)
        feed(o, LH_BYTES(data + at, 300), at + 300 == sizeof(data), &out);
    assert_true(lh_bytes_equal(lh_buf_bytes(&out), lh_buf_bytes(&want)));
    o = begin_op(LH_USE_DECRYPT, CKM_AES_CBC_PAD, LH_BYTES(iv, 16));
    for (size_t at = 0; at < out.len; at += 376)
        feed(o, LH_BYTES(out.data + at, 376), at + 376 == out.len, &back);
    assert_true(lh_bytes_equal(lh_buf_bytes(&back), LH_BYTES(data, sizeof(data))));
    /* Damaged padding, and a wrong length. */
    lh_output_reply reply;
    out.data[out.len - 17] ^= 0x40;
    assert_true(ask_operate(LH_CALL_DECRYPT, CKM_AES_CBC_PAD, LH_BYTES(iv, 16), lh_buf_bytes(&out)));
    assert_lh_refused(answer(&reply), LH_E_CORRUPT, "decrypt");
    assert_true(ask_operate(LH_CALL_DECRYPT, CKM_AES_CBC_PAD, LH_BYTES(iv, 16), LH_BYTES(out.data, 17)));
    assert_lh_refused(answer(&reply), LH_E_INVALID, "data-length");
    assert_true(ask_operate(LH_CALL_DECRYPT, CKM_AES_CBC_PAD, LH_BYTES(iv, 15), LH_BYTES(out.data, 16)));
    assert_lh_refused(answer(&reply), LH_E_INVALID, "mechanism-param");
}

static void test_counter(void **state)
{
    (void)state;
    uint8_t params[20] = {0, 0, 0, 8};
    params[19] = 0xfe; /* two blocks before the counter runs over */
    custody_pack(&c, custody_key(&c, LH_KEY_AES256));
    assert_false(
        ask_operate(LH_CALL_ENCRYPT, CKM_AES_CTR, LH_BYTES(params, 20), LH_BYTES(custody_digest, 32)));
    give_key(LH_KEY_AES256, CKM_AES_CTR, 60);
    lh_output_reply reply = {0};
    assert_lh_ok(answer(&reply));
    assert_true(
        ask_operate(LH_CALL_ENCRYPT, CKM_AES_CTR, LH_BYTES(params, 20), LH_BYTES(custody_digest, 33)));
    assert_lh_refused(answer(&reply), LH_E_INVALID, "data-length");
    params[3] = 129;
    assert_true(
        ask_operate(LH_CALL_ENCRYPT, CKM_AES_CTR, LH_BYTES(params, 20), LH_BYTES(custody_digest, 32)));
    assert_lh_refused(answer(&reply), LH_E_INVALID, "mechanism-param");
}

/* The TPM refuses; the vault is asked with the very request, and decides. */
static void test_expired(void **state)
{
    (void)state;
    custody_pack(&c, custody_key(&c, LH_KEY_EC_P256));
    assert_false(ask_sign());
    const int32_t expiration = give_key(LH_KEY_EC_P256, CKM_ECDSA_SHA256, 1);
    check_signature();
    const int32_t later = approve_more(3);
    custody_outlast(&c, expiration);
    assert_true(ask_sign());
    check_signature();
    custody_outlast(&c, later);
    assert_true(ask_sign());
    const said *s = next(RELAYED);
    lh_message_header header;
    lh_bytes body;
    assert_lh_ok(lh_message_decode(LH_BYTES(s->bytes, s->len), &header, &body));
    assert_int_equal(header.id, request_id);
    /* It gives the key anew, … */
    give_key(LH_KEY_EC_P256, CKM_ECDSA_SHA256, 60);
    check_signature();
    /* … or answers, and the next request is its as well. */
    lh_link_withdraw f = {.reason = "hold"};
    memcpy(f.lease, c.terms.lease, 16);
    frame(LH_LINK_WITHDRAW, 0, &f);
    LH_AUTO(lh_buf_free) lh_buf refusal = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    const lh_link_storage_ask look = {.storage = 0};
    frame(LH_LINK_STORAGE_ASK, 0, &look);
    assert_int_equal(next(SENT)->type, LH_LINK_STORAGE); /* so the one before has been taken */
    assert_false(ask_sign());
    lh_err err = LH_REFUSE(LH_E_DENIED, "hold", "held");
    assert_lh_ok(lh_call_error(LH_CALL_SIGN, request_id, err, lh_err_last(), &refusal));
    lh_holder_answered(holder, stream_number, lh_buf_bytes(&refusal));
    assert_false(ask_sign());
}

/* A key that the vault gave for a request, and the TPM refuses: that is the answer. */
static void test_given_and_refused(void **state)
{
    (void)state;
    custody_pack(&c, custody_key(&c, LH_KEY_EC_P256));
    assert_lh_ok(lh_tpm_pcr_extend(c.tpm, 10, custody_digest));
    assert_false(ask_sign());
    give_key(LH_KEY_EC_P256, CKM_ECDSA_SHA256, 60);
    lh_output_reply reply;
    assert_lh_refused(answer(&reply), LH_E_DENIED, "custody-policy");
    assert_false(ask_sign());
    custody_look(&c);
    custody_pack(&c, custody_key(&c, LH_KEY_EC_P256));
    give_key(LH_KEY_EC_P256, CKM_ECDSA_SHA256, 60);
    check_signature();
    /* One that is not for this TPM. */
    c.package.duplicate.data[40] ^= 1;
    c.package.public_area.data[20] ^= 1;
    lh_holder_stream_closed(holder, stream_number++);
    assert_false(ask_sign());
    give_key(LH_KEY_EC_P256, CKM_ECDSA_SHA256, 60);
    assert_lh_refused(answer(&reply), LH_E_CORRUPT, "custody-import");
}

static void give_uses(uint32_t limit)
{
    const said *s = next(SENT);
    assert_int_equal(s->type, LH_LINK_PIN_ASK);
    const lh_link_frame f = {lh_link_find(LH_LINK_PIN_ASK), 0, LH_BYTES(s->bytes, s->len)};
    lh_link_pin_ask asked;
    assert_lh_ok(lh_link_decode_body(&f, &asked));
    assert_memory_equal(asked.lease, c.terms.lease, 16);
    lh_custody_pin pin = {.index = c.terms.pin_index,
        .limit = limit,
        .written = asked.written != 0,
        .nonce_tpm = LH_BYTES(asked.nonce, 32)};
    memcpy(pin.lease, asked.lease, 16);
    lh_link_pin given = {.limit = limit};
    memcpy(given.lease, asked.lease, 16);
    if (limit > 0)
        assert_lh_ok(lh_custody_approve_pin(c.crypto, c.approver, &pin, given.signature));
    frame(LH_LINK_PIN, 0, &given);
}

static void test_uses(void **state)
{
    (void)state;
    c.terms.pin_index = LH_LEASE_KEY_PIN_BASE;
    begin_ec(60);
    give_uses(2);
    check_signature();
    assert_true(ask_sign());
    check_signature();
    assert_true(ask_sign());
    give_uses(1);
    check_signature();
    /* In the middle of an operation, too. */
    const uint64_t o = begin_op(LH_USE_SIGN, CKM_ECDSA_SHA256, LH_BYTES_NONE);
    const lh_op_finish_request end = {.operation = o, .data = LH_BYTES_STR("text")};
    assert_true(ask(LH_CALL_OP_FINISH, &end));
    give_uses(1);
    check_signature();
    assert_true(ask_sign());
    give_uses(0);
    lh_output_reply reply;
    assert_lh_refused(answer(&reply), LH_E_DENIED, "lease-spent");
}

static void test_storage(void **state)
{
    (void)state;
    lh_link_storage_ask f = {.nonce = "a nonce", .storage = 1};
    frame(LH_LINK_STORAGE_ASK, 0, &f);
    said *s = next(SENT);
    assert_int_equal(s->type, LH_LINK_STORAGE);
    const lh_link_frame answer_frame = {lh_link_find(LH_LINK_STORAGE), 0, LH_BYTES(s->bytes, s->len)};
    lh_link_storage storage;
    assert_lh_ok(lh_link_decode_body(&answer_frame, &storage));
    assert_string_equal(storage.reason, "");
    lh_custody_statement statement = {
        lh_buf_bytes(&c.ak), f.nonce, storage.certify, storage.certify_signature};
    assert_lh_ok(lh_custody_check_storage(c.crypto, storage.storage_public, &statement));
    statement = (lh_custody_statement){lh_buf_bytes(&c.ak), f.nonce, storage.time, storage.time_signature};
    lh_custody_time time;
    assert_lh_ok(lh_custody_check_time(c.crypto, &statement, &time));
}

/* What the vault should not send does no harm. */
static void test_nonsense(void **state)
{
    (void)state;
    assert_lh_refused(
        lh_holder_frame(holder, LH_LINK_OPEN, 0, LH_BYTES_NONE), LH_E_PROTOCOL, "link-protocol");
    assert_lh_ok(lh_holder_frame(holder, LH_LINK_LEASE_KEY, stream_number, LH_BYTES(custody_digest, 20)));
    lh_link_pin pin = {.limit = 5};
    frame(LH_LINK_PIN, 0, &pin);
    lh_link_approval approval = {.expiration = UINT32_MAX};
    frame(LH_LINK_APPROVAL, 0, &approval);
    lh_link_withdraw withdraw = {0};
    frame(LH_LINK_WITHDRAW, 0, &withdraw);
    custody_pack(&c, custody_key(&c, LH_KEY_EC_P256));
    give_key(LH_KEY_EC_P256, CKM_ECDSA_SHA256, 60); /* for no request */
    begin_ec(60);
    check_signature();
    lh_holder_link_closed(holder);
    /* An operation of before, on another stream. */
    const lh_op_update_request part = {.operation = LH_HOLDER_OPERATION | 1};
    stream_number++;
    assert_false(ask(LH_CALL_OP_UPDATE, &part));
}

/* Frames that wait for the TPM are bounded; ends of streams are taken all the same, and all is well again. */
static void test_busy(void **state)
{
    (void)state;
    lh_link_storage_ask f = {.nonce = "busy", .storage = 0};
    LH_AUTO(lh_buf_free) lh_buf body = LH_BUF_INIT(LH_LINK_FRAME_MAX);
    const lh_link_withdraw withdraw = {0};
    assert_lh_ok(lh_shape_encode(lh_link_find(LH_LINK_WITHDRAW)->body, &withdraw, &body));
    pthread_mutex_lock(&slow);
    frame(LH_LINK_STORAGE_ASK, 0, &f);
    size_t taken = 0;
    lh_err err = LH_SUCCESS;
    while (taken < LH_LIMIT_HOLDER_JOBS + 2 && lh_ok(err)) {
        err = lh_holder_frame(holder, LH_LINK_WITHDRAW, 0, lh_buf_bytes(&body));
        taken += lh_ok(err);
    }
    assert_lh_refused(err, LH_E_LIMIT, "custody-busy");
    assert_true(taken == LH_LIMIT_HOLDER_JOBS || taken == LH_LIMIT_HOLDER_JOBS - 1);
    lh_holder_stream_closed(holder, stream_number);
    pthread_mutex_unlock(&slow);
    assert_int_equal(next(SENT)->type, LH_LINK_STORAGE);
    stream_number++;
    begin_ec(60);
    check_signature();
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {CASE(test_signs), CASE(test_digests), CASE(test_parts),
        CASE(test_cipher_parts), CASE(test_counter), CASE(test_expired), CASE(test_given_and_refused),
        CASE(test_uses), CASE(test_storage), CASE(test_nonsense), CASE(test_busy)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
