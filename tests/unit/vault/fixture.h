/* A whole vault for tests: a software TPM, an attest process, a state directory, two officers with real
 * OpenSSH keys; and peers, this process or another, that answer their challenge as the test wants. */
#ifndef TESTS_UNIT_VAULT_FIXTURE_H
#define TESTS_UNIT_VAULT_FIXTURE_H

#include "../ssh_fixture.h"
#include "../tpm_fixture.h"

#include "base/clock.h"
#include "base/log_line.h"
#include "base/secret.h"
#include "codec/bin.h"
#include "crypto/operation.h"
#include "identity/attest.h"
#include "leasehold/leasehold.h"
#include "proc/fd.h"
#include "vault/admin.h"
#include "vault/internal.h"

#include <p11-kit/pkcs11.h>

typedef struct {
    swtpm tpm;
    char state[64];
    pid_t attest;
    lh_identity_client *identity;
    lh_vault *vault;
} world;

static world w;

/* This host's logs; a test changes them before the vault is opened. */
static lh_vault_logs fixture_logs = {-1, -1};

static inline lh_err try_open_vault(void)
{
    const lh_vault_options options = {.state_dir = w.state,
        .tcti = w.tpm.tcti,
        .seal_pcrs = 1u << 7,
        .checkpoint_interval = 3600,
        .identity = w.identity,
        .logs = &fixture_logs};
    return lh_vault_open(&options, &w.vault);
}

static inline void open_vault(void)
{
    assert_lh_ok(try_open_vault());
}

static inline void close_vault(void)
{
    lh_vault_close(w.vault);
    w.vault = NULL;
}

static inline void start_attest(void)
{
    int pair[2];
    assert_lh_ok(lh_fd_pair(pair));
    w.attest = fork();
    if (w.attest == 0) {
        close(pair[0]);
        _exit(lh_attest_main(pair[1]));
    }
    close(pair[1]);
    assert_lh_ok(lh_identity_client_new(pair[0], &w.identity));
}

/* Everything but a vault in the state directory. */
static inline int world_setup(void **unused)
{
    (void)unused;
    lh_log_set_level(LH_LEVEL_ERROR);
    memset(&w, 0, sizeof(w));
    start_attest();
    swtpm_start(&w.tpm);
    lh_tpm_close(swtpm_open(&w.tpm));
    strcpy(w.state, "/tmp/lh-vault-XXXXXX");
    assert_non_null(mkdtemp(w.state));
    assert_int_equal(ssh_setup(), 0);
    ssh_make_key("alice", "ed25519");
    ssh_make_key("bob", "ed25519");
    open_vault();
    return 0;
}

static inline int world_teardown(void **unused)
{
    (void)unused;
    close_vault();
    lh_identity_client_free(w.identity);
    waitpid(w.attest, NULL, 0);
    swtpm_stop(&w.tpm);
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", w.state);
    assert_int_equal(system(command), 0);
    ssh_teardown();
    return 0;
}

/* --- admin calls
 * -------------------------------------------------------------------------------------------- */

/* The whole reply; request is consumed. */
static inline json_t *ask(json_t *request)
{
    const lh_admin_caller caller = {getuid(), getpid(), true};
    assert_non_null(request);
    char *text = json_dumps(request, JSON_COMPACT);
    json_decref(request);
    lh_buf out = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    assert_lh_ok(lh_vault_admin(w.vault, &caller, LH_BYTES_STR(text), &out));
    free(text);
    json_t *reply = json_loadb((const char *)out.data, out.len, 0, NULL);
    assert_non_null(reply);
    lh_buf_free(&out);
    return reply;
}

static inline const char *text_of(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "";
}

static inline json_t *ask_ok(json_t *request)
{
    json_t *reply = ask(request);
    if (!json_is_true(json_object_get(reply, "ok")))
        fail_msg("refused: %s", text_of(json_object_get(reply, "error"), "message"));
    return reply;
}

static inline void ask_refused(json_t *request, const char *reason)
{
    json_t *reply = ask(request);
    assert_false(json_is_true(json_object_get(reply, "ok")));
    assert_string_equal(text_of(json_object_get(reply, "error"), "reason"), reason);
    json_decref(reply);
}

static inline const char *state_text(void)
{
    static char state[32];
    json_t *reply = ask_ok(json_pack("{s:s}", "call", "status"));
    snprintf(state, sizeof(state), "%s", text_of(reply, "state"));
    json_decref(reply);
    return state;
}

static inline char *sign_text(const char *officer, const char *text)
{
    lh_buf armor = ssh_sign(officer, "-n leasehold", LH_BYTES_STR(text));
    char *copy = strndup((const char *)armor.data, armor.len);
    lh_buf_free(&armor);
    return copy;
}

static inline json_t *officer_entry(const char *name)
{
    lh_buf line = ssh_public(name);
    char key[4096];
    snprintf(key, sizeof(key), "%.*s", (int)strcspn((const char *)line.data, "\n"), (const char *)line.data);
    lh_buf_free(&line);
    return json_pack("{s:s, s:[s]}", "name", name, "keys", key);
}

/* The genesis text; the caller frees it. */
static inline char *init_vault(void)
{
    json_t *reply = ask_ok(json_pack("{s:s, s:[o, o], s:i}", "call", "init", "officers",
        officer_entry("alice"), officer_entry("bob"), "threshold", 2));
    char *text = strdup(text_of(reply, "text"));
    json_decref(reply);
    return text;
}

static inline json_t *sign_genesis(const char *officer, const char *text)
{
    char *armor = sign_text(officer, text);
    json_t *reply = ask(json_pack("{s:s, s:s}", "call", "genesis.sign", "signature", armor));
    free(armor);
    return reply;
}

static inline void found_vault(void)
{
    char *text = init_vault();
    json_decref(sign_genesis("alice", text));
    json_decref(sign_genesis("bob", text));
    free(text);
    assert_string_equal(state_text(), "open");
}

/* The last vote's reply. */
static inline json_t *govern(const char *operation, const char *params)
{
    json_t *proposed = ask_ok(json_pack("{s:s, s:s, s:s, s:s, s:s}", "call", "propose", "operation",
        operation, "params", params, "requester", "alice", "reason", "a test"));
    const char *id = text_of(json_object_get(proposed, "proposal"), "id");
    static const char *const officers[] = {"alice", "bob"};
    json_t *voted = NULL;
    for (size_t i = 0; i < 2; i++) {
        char *armor = sign_text(officers[i], text_of(proposed, "text"));
        voted = ask(json_pack("{s:s, s:s, s:s, s:s}", "call", "proposal.vote", "id", id, "verb", "approve",
            "signature", armor));
        free(armor);
        if (!json_is_true(json_object_get(voted, "ok")) || strcmp(text_of(voted, "state"), "executed") == 0)
            break;
        if (i == 0)
            json_decref(voted);
    }
    json_decref(proposed);
    return voted;
}

static inline void govern_ok(const char *operation, const char *params)
{
    json_t *reply = govern(operation, params);
    if (!json_is_true(json_object_get(reply, "ok")))
        fail_msg("%s: %s", operation, text_of(json_object_get(reply, "error"), "message"));
    assert_string_equal(text_of(reply, "state"), "executed");
    json_decref(reply);
}

#define ME "spiffe://test.example/me"
#define ROLE(name, per, key, mechanism, more)                                                                \
    "  - { name: " name ", parent: root, derive: { per: " per ", key: " key " }, allow: [" mechanism         \
    "], ttl: 1m, max_ttl: 1h" more " }\n"

static inline void apply_policy(const char *ttl_of_short)
{
    char policy[4096];
    snprintf(policy, sizeof(policy),
        "trust_domain: test.example\n"
        "workloads:\n  - { id: " ME ", attest: { uid: %u } }\n"
        "roles:\n" ROLE("sign", "workload", "ec-p256", "ecdsa-sha256", "") ROLE("counted", "workload",
            "hmac-sha256", "hmac-sha256", ", uses: 20") ROLE("once", "lease", "ed25519", "eddsa",
            "") "  - { name: short, parent: root, derive: { per: workload, key: ed25519 }, allow: [eddsa], "
                "ttl: %s, "
                "max_ttl: 1h }\n"
                "grants:\n  - { workload: " ME ", role: sign }\n  - { workload: " ME ", role: counted }\n"
                "  - { workload: " ME ", role: once }\n  - { workload: " ME ", role: short }\n",
        (unsigned)getuid(), ttl_of_short);
    govern_ok("policy.apply", policy);
}

static inline void set_references(void)
{
    json_t *reply = ask_ok(json_pack("{s:s}", "call", "references.template"));
    govern_ok("reference.set", text_of(reply, "references"));
    json_decref(reply);
}

/* Open, with references, the parent and a policy that gives this user four roles. */
static inline int served_setup(void **unused)
{
    world_setup(unused);
    found_vault();
    set_references();
    govern_ok("parent.create", "{\"name\":\"root\"}");
    apply_policy("1s");
    return 0;
}

/* How many entries of the log have this text. */
static inline int count_entries(const char *wanted)
{
    int count = 0;
    json_int_t from = 0, size = 1;
    while (from < size) {
        json_t *reply = ask_ok(json_pack("{s:s, s:I}", "call", "log.show", "from", from));
        size = json_integer_value(json_object_get(reply, "size"));
        const json_t *entries = json_object_get(reply, "entries");
        for (size_t i = 0; i < json_array_size(entries); i++)
            count += strstr(text_of(json_array_get(entries, i), "entry"), wanted) != NULL;
        from += (json_int_t)json_array_size(entries);
        if (json_array_size(entries) == 0)
            break;
        json_decref(reply);
    }
    return count;
}

/* How many entries of the log have that event. */
static inline int count_events(const char *event)
{
    char wanted[96];
    snprintf(wanted, sizeof(wanted), "\"event\":\"%s\"", event);
    return count_entries(wanted);
}

/* --- peers
 * -------------------------------------------------------------------------------------------------- */

static inline lh_err answers(void *arg, const uint8_t nonce[32])
{
    (void)arg;
    (void)nonce;
    return LH_SUCCESS;
}

static inline lh_err answers_wrong(void *arg, const uint8_t nonce[32])
{
    (void)arg;
    (void)nonce;
    return LH_REFUSE(LH_E_ATTESTATION, "challenge-wrong", "another nonce");
}

static inline lh_peer *peer_of(pid_t pid, lh_peer_challenge_fn challenge, void *arg)
{
    lh_peer_options options = {
        .pid = pid, .uid = getuid(), .gid = getgid(), .challenge = challenge, .challenge_arg = arg};
    assert_lh_ok(lh_pidfd_open(pid, &options.pidfd));
    lh_random(options.channel, sizeof(options.channel));
    lh_peer *peer = NULL;
    assert_lh_ok(lh_peer_new(w.vault, &options, &peer));
    return peer;
}

/* The handle of a role's private or secret object; 0 where there is none, or where the search is refused. */
static inline uint64_t handle_of(lh_peer *peer, const char *role, uint64_t class)
{
    lh_buf template = LH_BUF_INIT(LH_WIRE_ATTRIBUTES_MAX), objects = LH_BUF_INIT(LH_WIRE_OBJECTS_MAX);
    lh_wire_put_attribute(&template, CKA_LABEL, 0, LH_BYTES_STR(role));
    lh_wire_put_ulong(&template, CKA_CLASS, class);
    const lh_find_request request = {0, lh_buf_bytes(&template)};
    uint64_t cursor = 0;
    lh_err err = lh_peer_find(peer, &request, &objects, &cursor);
    lh_reader r = lh_reader_new(lh_ok(err) ? lh_buf_bytes(&objects) : LH_BYTES_NONE);
    lh_wire_object object = {0};
    if (!lh_wire_next_object(&r, &object))
        object.handle = 0;
    lh_buf_free(&template);
    lh_buf_free(&objects);
    return object.handle;
}

/* As the dispatcher does it. */
static inline lh_err get_grip(
    lh_peer *peer, uint64_t handle, const char *mechanism, unsigned use, lh_grip *ret)
{
    const lh_peer_use wanted = {handle, lh_mechanism_by_name(mechanism), use};
    for (int i = 0; i < 5; i++) {
        enum lh_step step;
        LH_TRY(lh_peer_acquire(peer, &wanted, &step, ret));
        if (step == LH_STEP_READY)
            return LH_SUCCESS;
        if (step == LH_STEP_RENEW)
            lh_peer_renew(peer, &wanted);
        else
            LH_TRY(lh_peer_prepare(peer, &wanted));
    }
    return LH_FAIL(LH_E_LIMIT, "never ready");
}

static inline lh_err use_key(lh_peer *peer, uint64_t handle, const char *mechanism, unsigned use)
{
    lh_grip grip = {0};
    LH_TRY(get_grip(peer, handle, mechanism, use, &grip));
    const lh_op_request op = {
        .key = grip.key, .row = lh_mechanism_by_name(mechanism), .use = use, .data = LH_BYTES_STR("data")};
    lh_buf output = LH_BUF_INIT(1024);
    lh_err err = lh_op_once(lh_vault_crypto(w.vault), &op, &output);
    lh_buf_free(&output);
    lh_grip_release(&grip);
    return err;
}

static inline lh_err sign_with(lh_peer *peer, const char *role)
{
    bool ec = strcmp(role, "sign") == 0, hmac = strcmp(role, "counted") == 0;
    uint64_t handle = handle_of(peer, role, hmac ? CKO_SECRET_KEY : CKO_PRIVATE_KEY);
    return use_key(peer, handle, ec ? "ecdsa-sha256" : hmac ? "hmac-sha256" : "eddsa", LH_USE_SIGN);
}

/* The lease of a process and role in the table, counted; NULL where there is none. */
static inline lh_lease *lease_of(pid_t pid, const char *role)
{
    lh_identity identity;
    int pidfd = -1;
    assert_lh_ok(lh_pidfd_open(pid, &pidfd));
    assert_lh_ok(lh_identity_read(w.identity, pid, pidfd, &identity));
    close(pidfd);
    pthread_mutex_lock(&w.vault->mutex);
    lh_lease *lease = lh_lease_table_by_holder(w.vault->leases, pid, identity.start_time, role);
    if (lease)
        lh_lease_ref(lease);
    pthread_mutex_unlock(&w.vault->mutex);
    return lease;
}

static inline enum lh_lease_state stored_state(const uint8_t id[LH_LEASE_ID_SIZE])
{
    lh_record_id record_id;
    lh_lease_record record;
    lh_buf plain = LH_BUF_INIT(LH_LIMIT_RECORD);
    assert_lh_ok(lh_lease_record_id(id, &record_id));
    assert_lh_ok(lh_record_get(w.vault->core->records, LH_RECORD_LEASE, &record_id, &plain));
    assert_lh_ok(lh_lease_decode(lh_buf_bytes(&plain), &record));
    lh_buf_free(&plain);
    return record.state;
}

/* Wait until the keeper has written it, at most 5 s. */
static inline enum lh_lease_state wait_stored(const uint8_t id[LH_LEASE_ID_SIZE], enum lh_lease_state state)
{
    for (int i = 0; i < 250 && stored_state(id) != state; i++)
        swtpm_sleep_ms(20);
    return stored_state(id);
}

#endif
