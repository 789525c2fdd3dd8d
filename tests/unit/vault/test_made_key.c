/* Roles' RSA keys: made once, the same for all who ask, for ever. */
#include "fixture.h"

#include "codec/base64.h"
#include "vault/made_key.h"

#define PEERS 6

static void rsa_policy(const char *key)
{
    char policy[4096];
    snprintf(policy, sizeof(policy),
        "trust_domain: test.example\n"
        "workloads:\n  - { id: " ME ", attest: { uid: %u } }\n"
        "roles:\n"
        "  - { name: rsa, parent: root, derive: { per: workload, key: %s }, allow: [sha256-rsa-pkcs, "
        "rsa-oaep, "
        "rsa-pkcs], ttl: 1m, max_ttl: 1h }\n"
        "grants:\n  - { workload: " ME ", role: rsa }\n",
        (unsigned)getuid(), key);
    govern_ok("policy.apply", policy);
}

static int rsa_setup(void **state)
{
    world_setup(state);
    found_vault();
    set_references();
    govern_ok("parent.create", "{\"name\":\"root\"}");
    rsa_policy("rsa-2048");
    return 0;
}

static uint64_t made(void)
{
    return lh_record_count(w.vault->core->records, LH_RECORD_KEY);
}

/* The public key as a peer sees it: its modulus. */
static void modulus_of(lh_peer *peer, lh_buf *ret)
{
    const uint8_t type[4] = {0, 0, CKA_MODULUS >> 8, CKA_MODULUS & 0xff};
    const lh_attributes_request request = {handle_of(peer, "rsa", CKO_PUBLIC_KEY), LH_BYTES(type, 4)};
    LH_AUTO(lh_buf_free) lh_buf attributes = LH_BUF_INIT(LH_WIRE_ATTRIBUTES_MAX);
    assert_true(request.handle != 0);
    assert_lh_ok(lh_peer_attributes(peer, &request, &attributes));
    lh_reader r = lh_reader_new(lh_buf_bytes(&attributes));
    lh_wire_attribute a;
    assert_true(lh_wire_next_attribute(&r, &a));
    lh_buf_clear(ret);
    lh_buf_append(ret, a.value.data, a.value.len);
    assert_lh_ok(lh_buf_status(ret));
}

typedef struct {
    pthread_t thread;
    lh_peer *peer;
    lh_buf modulus;
} asker;

static void *ask_key(void *arg)
{
    asker *a = arg;
    modulus_of(a->peer, &a->modulus);
    return NULL;
}

/* As many as ask at once, they are told the same key, and there is one record of it. */
static void test_once(void **state)
{
    (void)state;
    asker askers[PEERS];
    assert_int_equal(made(), 0);
    for (size_t i = 0; i < PEERS; i++) {
        askers[i] = (asker){.peer = peer_of(getpid(), answers, NULL), .modulus = LH_BUF_INIT(1024)};
        assert_int_equal(pthread_create(&askers[i].thread, NULL, ask_key, &askers[i]), 0);
    }
    for (size_t i = 0; i < PEERS; i++)
        assert_int_equal(pthread_join(askers[i].thread, NULL), 0);
    assert_int_equal(made(), 1);
    assert_int_equal(count_events("key.made"), 1);
    for (size_t i = 0; i < PEERS; i++) {
        assert_int_equal(askers[i].modulus.len, 256);
        assert_true(lh_bytes_equal(lh_buf_bytes(&askers[i].modulus), lh_buf_bytes(&askers[0].modulus)));
    }
    for (size_t i = 0; i < PEERS; i++) {
        lh_buf_free(&askers[i].modulus);
        lh_peer_unref(askers[i].peer);
    }
}

static lh_err rsa_use(lh_peer *peer, uint64_t class, const char *mechanism, unsigned use)
{
    return use_key(peer, handle_of(peer, "rsa", class), mechanism, use);
}

/* The key is the same after a restart; it signs and encrypts; what the role does not allow is refused. */
static void test_lasts(void **state)
{
    (void)state;
    LH_AUTO(lh_buf_free) lh_buf before = LH_BUF_INIT(1024);
    LH_AUTO(lh_buf_free) lh_buf after = LH_BUF_INIT(1024);
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    modulus_of(peer, &before);
    assert_lh_ok(rsa_use(peer, CKO_PRIVATE_KEY, "sha256-rsa-pkcs", LH_USE_SIGN));
    assert_lh_ok(rsa_use(peer, CKO_PUBLIC_KEY, "rsa-pkcs", LH_USE_ENCRYPT));
    assert_lh_refused(rsa_use(peer, CKO_PUBLIC_KEY, "sha256-rsa-pkcs", LH_USE_SIGN), LH_E_INVALID, "key-use");
    assert_lh_refused(rsa_use(peer, CKO_PUBLIC_KEY, "rsa-pkcs", LH_USE_DECRYPT), LH_E_INVALID, "key-use");
    assert_false(lh_ok(rsa_use(peer, CKO_PRIVATE_KEY, "sha512-rsa-pkcs", LH_USE_SIGN)));
    lh_peer_unref(peer);
    close_vault();
    open_vault();
    peer = peer_of(getpid(), answers, NULL);
    modulus_of(peer, &after);
    assert_true(lh_bytes_equal(lh_buf_bytes(&before), lh_buf_bytes(&after)));
    assert_lh_ok(rsa_use(peer, CKO_PRIVATE_KEY, "sha256-rsa-pkcs", LH_USE_SIGN));
    /* Another kind of key under the same name is another key; back again, it is the first. */
    rsa_policy("rsa-3072");
    modulus_of(peer, &after);
    assert_int_equal(after.len, 384);
    assert_int_equal(made(), 2);
    rsa_policy("rsa-2048");
    modulus_of(peer, &after);
    assert_true(lh_bytes_equal(lh_buf_bytes(&before), lh_buf_bytes(&after)));
    assert_int_equal(made(), 2);
    lh_peer_unref(peer);
}

/* What `leasehold key public` says. */
static void test_told(void **state)
{
    (void)state;
    LH_AUTO(lh_buf_free) lh_buf modulus = LH_BUF_INIT(1024);
    LH_AUTO(lh_buf_free) lh_buf blob = LH_BUF_INIT(1024);
    json_t *reply = ask_ok(json_pack("{s:s, s:s, s:s}", "call", "key.public", "role", "rsa", "workload", ME));
    assert_int_equal(made(), 1);
    char ssh[1024];
    snprintf(ssh, sizeof(ssh), "%s", text_of(reply, "ssh"));
    assert_int_equal(strncmp(ssh, "ssh-rsa ", 8), 0);
    assert_lh_ok(lh_base64_decode(LH_BYTES_STR(ssh + 8), &blob));
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    modulus_of(peer, &modulus);
    assert_int_equal(blob.len, 4 + 7 + 4 + 3 + 4 + 1 + 256);
    assert_memory_equal(blob.data + blob.len - 256, modulus.data, 256);
    json_decref(reply);
    lh_peer_unref(peer);
}

/* --- derivations ------------------------------------------------------------------------------------------
 */

static const lh_derivation base = {.role = "rsa",
    .parent = "root",
    .parent_version = 1,
    .per = LH_PER_WORKLOAD,
    .workload = ME,
    .kind = LH_KEY_RSA_2048};

static lh_secret *parent_secret(uint8_t value)
{
    uint8_t bytes[32];
    lh_secret *secret = NULL;
    memset(bytes, value, sizeof(bytes));
    assert_lh_ok(lh_secret_copy(LH_BYTES(bytes, 32), &secret));
    return secret;
}

static void put_other(lh_record_txn *txn, const lh_record_id *to, const lh_record_id *from)
{
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(LH_LIMIT_RECORD);
    assert_lh_ok(lh_txn_get(txn, LH_RECORD_KEY, from, &plain));
    assert_lh_ok(lh_txn_put(txn, LH_RECORD_KEY, to, lh_buf_bytes(&plain)));
}

static lh_err swap(lh_record_txn *txn, void *arg)
{
    const lh_record_id *ids = arg;
    put_other(txn, &ids[0], &ids[1]);
    return LH_SUCCESS;
}

/* A key of its own for each role, workload, parent and version; found, but never made, by who only looks. A
 * record in another's place, or under another secret, is refused. */
static void test_derivations(void **state)
{
    (void)state;
    lh_derivation d[5];
    LH_AUTO(lh_secret_freep) lh_secret *secret = parent_secret(1);
    LH_AUTO(lh_secret_freep) lh_secret *wrong = parent_secret(2);
    lh_key *key = NULL;
    for (size_t i = 0; i < LH_ARRAY_LEN(d); i++) {
        d[i] = base;
        d[i].vault = w.vault->id;
    }
    d[1].role = "other";
    d[2].workload = ME "/2";
    d[3].parent = "branch";
    d[4].parent_version = 2;
    for (size_t i = 0; i < LH_ARRAY_LEN(d); i++) {
        assert_lh_refused(lh_made_key_find(w.vault, &d[i], secret, &key), LH_E_NOT_FOUND, "key-unmade");
        assert_int_equal(made(), i);
        LH_AUTO(lh_key_freep) lh_key *first = NULL;
        LH_AUTO(lh_key_freep) lh_key *again = NULL;
        assert_lh_ok(lh_made_key_get(w.vault, &d[i], secret, &first));
        assert_lh_ok(lh_made_key_find(w.vault, &d[i], secret, &again));
        assert_int_equal(made(), i + 1);
        assert_lh_refused(lh_made_key_get(w.vault, &d[i], wrong, &key), LH_E_CORRUPT, "key-altered");
    }
    lh_record_id *ids = NULL;
    size_t count = 0;
    assert_lh_ok(lh_record_ids(w.vault->core->records, LH_RECORD_KEY, &ids, &count));
    assert_int_equal(count, LH_ARRAY_LEN(d));
    assert_lh_ok(lh_records_write(w.vault->core->records, swap, ids));
    free(ids);
    size_t altered = 0;
    for (size_t i = 0; i < LH_ARRAY_LEN(d); i++) {
        LH_AUTO(lh_key_freep) lh_key *one = NULL;
        lh_err err = lh_made_key_get(w.vault, &d[i], secret, &one);
        altered += err.code == LH_E_CORRUPT && strcmp(lh_err_last()->reason, "key-altered") == 0;
    }
    assert_int_equal(altered, 1);
    assert_null(key);
}

/* Killed after it was made and before it was kept: nobody has seen it, and another one is made. */
static void test_not_kept(void **state)
{
    (void)state;
    lh_derivation d = base;
    lh_key *key = NULL;
    d.vault = w.vault->id;
    LH_AUTO(lh_secret_freep) lh_secret *secret = parent_secret(1);
    lh_records_shut(w.vault->core->records);
    assert_lh_refused(lh_made_key_get(w.vault, &d, secret, &key), LH_E_STATE, "records-shut");
    assert_null(key);
    close_vault();
    open_vault();
    assert_int_equal(made(), 0);
    LH_AUTO(lh_key_freep) lh_key *made_now = NULL;
    d.vault = w.vault->id;
    assert_lh_ok(lh_made_key_get(w.vault, &d, secret, &made_now));
    assert_int_equal(made(), 1);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, rsa_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_once), CASE(test_lasts), CASE(test_told), CASE(test_derivations), CASE(test_not_kept)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
