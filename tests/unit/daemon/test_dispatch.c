/* The dispatcher over real connections to a vault that is open: calls of both versions, operations with
 * standalone keys, limits, and a client that is gone while its slow work goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../vault/fixture.h"
#include "crypto/hash.h"
#include "daemon/connection.h"
#include "vault/standalone_internal.h"

#include <poll.h>
#include <unistd.h>

static lh_config *config;
static lh_server *server;

static int server_setup(void **unused)
{
    world_setup(unused);
    found_vault();
    govern_ok("partition.create", "{\"name\": \"first\"}");
    assert_lh_ok(lh_config_defaults(&config));
    config->workers = 1;
    assert_lh_ok(lh_server_new(config, w.vault, &server));
    return 0;
}

static int server_teardown(void **unused)
{
    lh_server_free(server);
    lh_config_free(config);
    return world_teardown(unused);
}

typedef struct {
    int fd;
    lh_connection *connection;
    lh_buf out, in;
    uint64_t id;
} line;

static void line_open(line *l, uint16_t version)
{
    int pair[2];
    *l = (line){.out = LH_BUF_INIT(LH_LIMIT_MESSAGE), .in = LH_BUF_INIT(LH_LIMIT_MESSAGE)};
    assert_lh_ok(lh_fd_pair(pair));
    assert_lh_ok(lh_fd_name_senders(pair[0], NULL));
    lh_connection_options options = {.fd = pair[0],
        .pid = getpid(),
        .uid = getuid(),
        .account = getuid(),
        .gid = getgid(),
        .kind = LH_KIND_TOKEN,
        .version = version};
    assert_lh_ok(lh_pidfd_open(options.pid, &options.pidfd));
    assert_lh_ok(lh_server_charge(server, options.uid));
    assert_lh_ok(lh_connection_start(server, &options, NULL, NULL, &l->connection));
    l->fd = pair[1];
}

static void line_close(line *l)
{
    close(l->fd);
    lh_connection_unref(l->connection);
    lh_buf_free(&l->out);
    lh_buf_free(&l->in);
}

static void ask_only(line *l, enum lh_call call, const void *request)
{
    assert_lh_ok(lh_call_request(call, ++l->id, request, &l->out));
    assert_int_equal(send(l->fd, l->out.data, l->out.len, MSG_NOSIGNAL), (ssize_t)l->out.len);
}

static lh_err answer(line *l, void *reply)
{
    lh_message_header header;
    lh_bytes body;
    struct pollfd p = {.fd = l->fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 60000), 1);
    assert_lh_ok(lh_message_recv(l->fd, 0, &l->in, NULL));
    assert_lh_ok(lh_message_decode(lh_buf_bytes(&l->in), &header, &body));
    assert_int_equal(header.id, l->id);
    return lh_call_decode_reply(&header, body, reply);
}

static lh_err call(line *l, enum lh_call number, const void *request, void *reply)
{
    ask_only(l, number, request);
    return answer(l, reply);
}

static const lh_bytes so_pin = {(const uint8_t *)"so-12345", 8};
static const lh_bytes pin = {(const uint8_t *)"1234", 4};

static void log_in(line *l)
{
    const lh_login_request r = {.slot = 1, .user = CKU_USER, .pin = pin};
    lh_login_reply reply;
    assert_lh_ok(call(l, LH_CALL_LOGIN, &r, &reply));
    assert_true(reply.ticket.len > 0);
}

static void set_up_token(line *l)
{
    lh_init_token_request token = {.slot = 1, .pin = so_pin};
    memset(token.label, ' ', sizeof(token.label));
    token.label[0] = 'x';
    assert_lh_ok(call(l, LH_CALL_INIT_TOKEN, &token, NULL));
    const lh_login_request so = {.slot = 1, .user = CKU_SO, .pin = so_pin};
    lh_login_reply ticket;
    assert_lh_ok(call(l, LH_CALL_LOGIN, &so, &ticket));
    const lh_init_pin_request init = {.slot = 1, .pin = pin};
    lh_init_pin_reply done;
    assert_lh_ok(call(l, LH_CALL_INIT_PIN, &init, &done));
    assert_int_equal(done.pending, 0);
    const lh_slot_request slot = {1};
    assert_lh_ok(call(l, LH_CALL_LOGOUT, &slot, NULL));
    log_in(l);
}

static uint64_t make_secret(line *l, bool digestible)
{
    lh_buf template = LH_BUF_INIT(1024);
    lh_wire_put_ulong(&template, CKA_CLASS, CKO_SECRET_KEY);
    lh_wire_put_ulong(&template, CKA_KEY_TYPE, CKK_AES);
    lh_wire_put_bool(&template, CKA_TOKEN, false);
    lh_wire_put_bool(&template, CKA_ENCRYPT, true);
    lh_wire_put_bool(&template, CKA_DECRYPT, false);
    lh_wire_put_bool(&template, CKA_SENSITIVE, false);
    lh_wire_put_bool(&template, CKA_EXTRACTABLE, digestible);
    lh_wire_put_attribute(&template, CKA_VALUE, 0, LH_BYTES_STR("0123456789abcdef"));
    const lh_create_request r = {.slot = 1, .session = 1, .attributes = lh_buf_bytes(&template)};
    lh_handle_reply reply;
    assert_lh_ok(call(l, LH_CALL_CREATE, &r, &reply));
    lh_buf_free(&template);
    return reply.handle;
}

static void test_slots(void **unused)
{
    (void)unused;
    line l;
    line_open(&l, LH_WIRE_VERSION_MAX);
    lh_slots_reply slots;
    assert_lh_ok(call(&l, LH_CALL_SLOTS, NULL, &slots));
    assert_int_equal(slots.slots.len, 16);
    lh_slot_request slot = {LH_SLOT_LEASED};
    lh_slot_info_reply info;
    lh_mechanisms_reply mechanisms;
    assert_lh_ok(call(&l, LH_CALL_SLOT_INFO, &slot, &info));
    assert_true(info.flags & LH_TOKEN_FLAG_LEASED);
    assert_lh_ok(call(&l, LH_CALL_MECHANISMS, &slot, &mechanisms));
    size_t leased = mechanisms.types.len;
    assert_true(leased > 0 && leased % 8 == 0);
    slot.slot = 1;
    assert_lh_ok(call(&l, LH_CALL_SLOT_INFO, &slot, &info));
    assert_false(info.flags & LH_TOKEN_FLAG_LEASED);
    assert_lh_ok(call(&l, LH_CALL_MECHANISMS, &slot, &mechanisms));
    assert_true(mechanisms.types.len > leased);
    slot.slot = 77;
    assert_lh_refused(call(&l, LH_CALL_SLOT_INFO, &slot, &info), LH_E_NOT_FOUND, "slot-id-invalid");
    line_close(&l);
}

/* What the first release spoke is served as it was; what came later is unknown there. */
static void test_version_one(void **unused)
{
    (void)unused;
    line l;
    line_open(&l, 1);
    lh_slots_reply slots;
    lh_find_reply found;
    lh_token_info_reply info;
    const lh_find_request find = {0};
    assert_lh_refused(call(&l, LH_CALL_SLOTS, NULL, &slots), LH_E_UNSUPPORTED, "unknown-call");
    assert_lh_ok(call(&l, LH_CALL_TOKEN_INFO, NULL, &info));
    assert_int_equal(info.flags & ~(uint32_t)LH_TOKEN_FLAG_DEVELOPMENT, 0);
    assert_lh_ok(call(&l, LH_CALL_FIND, &find, &found));
    line_close(&l);
}

static void test_operations(void **unused)
{
    (void)unused;
    line l;
    line_open(&l, LH_WIRE_VERSION_MAX);
    set_up_token(&l);
    uint64_t key = make_secret(&l, true);
    /* One-shot and in parts give the same. */
    static const uint8_t iv[16] = {0};
    uint8_t whole[64];
    lh_output_reply output;
    lh_operate_request once = {.handle = key,
        .mechanism = CKM_AES_CBC_PAD,
        .params = LH_BYTES(iv, sizeof(iv)),
        .data = LH_BYTES_STR("twenty bytes of data")};
    assert_lh_ok(call(&l, LH_CALL_ENCRYPT, &once, &output));
    assert_int_equal(output.output.len, 32);
    memcpy(whole, output.output.data, output.output.len);
    lh_op_begin_request begin = {LH_USE_ENCRYPT, key, CKM_AES_CBC_PAD, LH_BYTES(iv, sizeof(iv))};
    lh_op_begin_reply begun;
    assert_lh_ok(call(&l, LH_CALL_OP_BEGIN, &begin, &begun));
    lh_op_update_request update = {begun.operation, LH_BYTES_STR("twenty bytes ")};
    assert_lh_ok(call(&l, LH_CALL_OP_UPDATE, &update, &output));
    size_t first = output.output.len;
    lh_op_finish_request finish = {.operation = begun.operation, .data = LH_BYTES_STR("of data")};
    assert_lh_ok(call(&l, LH_CALL_OP_FINISH, &finish, &output));
    assert_int_equal(first + output.output.len, 32);
    assert_memory_equal(whole + first, output.output.data, output.output.len);
    /* What the key may not do. */
    assert_int_not_equal(call(&l, LH_CALL_DECRYPT, &once, &output).code, LH_OK);
    assert_string_equal(lh_err_last()->reason, "key-function-not-permitted");
    /* Its value goes into a digest. */
    begin = (lh_op_begin_request){LH_USE_DIGEST, 0, CKM_SHA256, LH_BYTES_NONE};
    assert_lh_ok(call(&l, LH_CALL_OP_BEGIN, &begin, &begun));
    lh_op_digest_key_request digest = {begun.operation, key};
    assert_lh_ok(call(&l, LH_CALL_OP_DIGEST_KEY, &digest, NULL));
    digest.handle = 5;
    assert_lh_refused(call(&l, LH_CALL_OP_DIGEST_KEY, &digest, NULL), LH_E_INVALID, "key-indigestible");
    finish = (lh_op_finish_request){.operation = begun.operation};
    assert_lh_ok(call(&l, LH_CALL_OP_FINISH, &finish, &output));
    uint8_t expected[32];
    const lh_bytes value = LH_BYTES_STR("0123456789abcdef");
    assert_lh_ok(lh_sha256(w.vault->crypto, &value, 1, expected));
    assert_int_equal(output.output.len, 32);
    assert_memory_equal(output.output.data, expected, 32);
    /* A session object ends with its session; its handle is nobody's on another connection. */
    line other;
    line_open(&other, LH_WIRE_VERSION_MAX);
    log_in(&other);
    assert_int_equal(call(&other, LH_CALL_ENCRYPT, &once, &output).code, LH_E_NOT_FOUND);
    line_close(&other);
    const lh_session_request session = {1};
    assert_lh_ok(call(&l, LH_CALL_SESSION_END, &session, NULL));
    assert_int_equal(call(&l, LH_CALL_ENCRYPT, &once, &output).code, LH_E_NOT_FOUND);
    line_close(&l);
}

static void test_operations_are_limited(void **unused)
{
    (void)unused;
    for (int i = 0; i < 3; i++)
        assert_lh_ok(lh_server_charge(server, 4242));
    for (int i = 0; i < LH_LIMIT_USER_OPERATIONS; i++)
        assert_lh_ok(lh_server_charge_operation(server, 4242));
    assert_lh_refused(lh_server_charge_operation(server, 4242), LH_E_LIMIT, "host-memory");
    assert_lh_ok(lh_server_charge(server, 4243)); /* nobody else is harmed */
    assert_lh_ok(lh_server_charge_operation(server, 4243));
    lh_server_discharge_operation(server, 4242);
    assert_lh_ok(lh_server_charge_operation(server, 4242));
    for (int i = 0; i < 3; i++)
        lh_server_discharge(server, 4242);
    lh_server_discharge(server, 4243);
}

static void rsa_request(lh_buf *template, lh_generate_request *ret, unsigned bits)
{
    lh_wire_put_ulong(template, CKA_MODULUS_BITS, bits);
    lh_wire_put_bool(template, CKA_TOKEN, true);
    *ret = (lh_generate_request){.slot = 1,
        .session = 1,
        .mechanism = CKM_RSA_PKCS_KEY_PAIR_GEN,
        .attributes = lh_buf_bytes(template),
        .private_attributes = lh_buf_bytes(template),
        .pair = 1};
    ret->private_attributes = LH_BYTES(template->data + 17, template->len - 17);
}

static uint64_t objects(void)
{
    lh_partition_description d;
    assert_lh_ok(lh_standalone_describe(w.vault, "first", &d));
    return d.objects;
}

/* Others' requests are answered while keys are generated; what a client that has gone asked for is not kept.
 */
static void test_gone_while_slow(void **unused)
{
    (void)unused;
    line l, quick;
    line_open(&l, LH_WIRE_VERSION_MAX);
    line_open(&quick, LH_WIRE_VERSION_MAX);
    set_up_token(&l);
    lh_buf template = LH_BUF_INIT(256);
    lh_generate_request r;
    lh_generate_reply made;
    rsa_request(&template, &r, 2048);
    assert_lh_ok(call(&l, LH_CALL_GENERATE, &r, &made));
    assert_int_equal(objects(), 2);
    lh_buf_clear(&template);
    rsa_request(&template, &r, 4096);
    ask_only(&l, LH_CALL_GENERATE, &r);
    lh_token_info_reply info;
    lh_slots_reply slots;
    assert_lh_ok(call(&quick, LH_CALL_TOKEN_INFO, NULL, &info));
    assert_lh_ok(call(&quick, LH_CALL_SLOTS, NULL, &slots));
    close(l.fd);
    l.fd = -1;
    log_in(&quick); /* what stretches PINs has threads of its own */
    /* The connection's last reference but ours goes when the generation is over. */
    for (int i = 0; i < 3000 && lh_connection_references(l.connection) > 1; i++)
        swtpm_sleep_ms(20);
    assert_int_equal(lh_connection_references(l.connection), 1);
    assert_int_equal(objects(), 2);
    lh_connection_unref(l.connection);
    lh_buf_free(&l.out);
    lh_buf_free(&l.in);
    lh_buf_free(&template);
    line_close(&quick);
}

/* Sealing lets go of the standalone keys that operations hold, though their process says nothing. */
static void test_sealed_meanwhile(void **unused)
{
    (void)unused;
    line l;
    line_open(&l, LH_WIRE_VERSION_MAX);
    set_up_token(&l);
    uint64_t key = make_secret(&l, false);
    static const uint8_t iv[16] = {0};
    lh_op_begin_request begin = {LH_USE_ENCRYPT, key, CKM_AES_CBC_PAD, LH_BYTES(iv, sizeof(iv))};
    lh_op_begin_reply begun;
    assert_lh_ok(call(&l, LH_CALL_OP_BEGIN, &begin, &begun));
    govern_ok("vault.seal", "{}");
    lh_op_update_request update = {begun.operation, LH_BYTES_STR("data")};
    lh_output_reply output;
    assert_int_not_equal(call(&l, LH_CALL_OP_UPDATE, &update, &output).code, LH_OK);
    lh_slots_reply slots;
    assert_lh_ok(call(&l, LH_CALL_SLOTS, NULL, &slots));
    assert_int_equal(slots.slots.len, 8); /* the leased one, which tells the state */
    const lh_login_request r = {.slot = 1, .user = CKU_USER, .pin = pin};
    lh_login_reply ticket;
    assert_lh_refused(call(&l, LH_CALL_LOGIN, &r, &ticket), LH_E_STATE, "sealed-by-officer");
    govern_ok("vault.unseal", "{}");
    log_in(&l);
    line_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_slots, server_setup, server_teardown),
        cmocka_unit_test_setup_teardown(test_version_one, server_setup, server_teardown),
        cmocka_unit_test_setup_teardown(test_operations, server_setup, server_teardown),
        cmocka_unit_test_setup_teardown(test_operations_are_limited, server_setup, server_teardown),
        cmocka_unit_test_setup_teardown(test_gone_while_slow, server_setup, server_teardown),
        cmocka_unit_test_setup_teardown(test_sealed_meanwhile, server_setup, server_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
