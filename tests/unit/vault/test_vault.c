/* A whole vault: founding, issuing, refusing, holding, sealing, and what a restart finds. */
#include "fixture.h"

static pid_t make_child(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close_range(3, ~0U, 0); /* the store's lock */
        for (;;)
            pause();
    }
    return pid;
}

static void kill_child(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void test_nothing_before_founding(void **unused)
{
    (void)unused;
    assert_string_equal(state_text(), "empty");
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    const lh_peer_use use = {1, lh_mechanism_by_name("eddsa"), LH_USE_SIGN};
    enum lh_step step;
    lh_grip grip;
    assert_lh_refused(lh_peer_acquire(peer, &use, &step, &grip), LH_E_STATE, "vault-empty");
    assert_lh_refused(lh_peer_prepare(peer, &use), LH_E_STATE, "vault-empty");
    char *text = init_vault();
    assert_string_equal(state_text(), "founding");
    assert_lh_refused(lh_peer_prepare(peer, &use), LH_E_STATE, "vault-founding");
    lh_peer_unref(peer);
    ask_refused(
        json_pack("{s:s, s:s}", "call", "genesis.sign", "signature", "nonsense"), "approval-malformed");
    json_decref(sign_genesis("alice", text));
    assert_string_equal(state_text(), "founding");
    close_vault();
    open_vault();
    assert_string_equal(state_text(), "founding");
    json_decref(sign_genesis("bob", text));
    assert_string_equal(state_text(), "open");
    free(text);
}

/* The store says founded, the TPM has no anchor yet: the power failed between the two. */
static void test_cut_off_before_first_anchor(void **unused)
{
    (void)unused;
    char *text = init_vault();
    json_decref(sign_genesis("alice", text));
    swtpm_kill(&w.tpm);
    json_t *reply = sign_genesis("bob", text);
    assert_false(json_is_true(json_object_get(reply, "ok")));
    json_decref(reply);
    free(text);
    assert_string_equal(state_text(), "sealed");
    close_vault();
    swtpm_run(&w.tpm);
    lh_tpm_close(swtpm_open(&w.tpm));
    open_vault();
    assert_string_equal(state_text(), "open");
    assert_int_equal(count_events("vault.founded"), 1);
}

/* The same without a restart: it opens by itself when the TPM is back. */
static lh_err put_seal(lh_store_txn *txn, void *arg)
{
    return lh_store_txn_meta_put(txn, "seal", *(const lh_bytes *)arg);
}

/* init ends between beginning the records and writing the first of them. */
static void test_cut_off_init(void **unused)
{
    (void)unused;
    close_vault();
    lh_store *store = NULL;
    lh_crypto *crypto = NULL;
    lh_secret *root = NULL;
    lh_records *records = NULL;
    lh_tpm *tpm = swtpm_open(&w.tpm);
    lh_buf blob = LH_BUF_INIT(16384);
    assert_lh_ok(lh_secret_random(32, &root));
    assert_lh_ok(lh_seal_create(tpm, root, 1u << 7, &blob));
    lh_tpm_close(tpm);
    assert_lh_ok(lh_crypto_new(&crypto));
    assert_lh_ok(lh_store_open(w.state, NULL, &store));
    lh_bytes seal = lh_buf_bytes(&blob);
    assert_lh_ok(lh_store_write(store, put_seal, &seal));
    assert_lh_ok(lh_records_create(store, crypto, root, &records));
    lh_records_free(records);
    lh_store_free(store);
    lh_crypto_free(crypto);
    lh_secret_free(root);
    lh_buf_free(&blob);

    open_vault();
    assert_string_equal(state_text(), "empty");
    found_vault();
    close_vault();
    open_vault();
    assert_string_equal(state_text(), "open");
}

static void test_opens_when_tpm_is_back(void **unused)
{
    (void)unused;
    char *text = init_vault();
    json_decref(sign_genesis("alice", text));
    swtpm_kill(&w.tpm);
    json_decref(sign_genesis("bob", text));
    free(text);
    swtpm_run(&w.tpm);
    for (int i = 0; i < 500 && strcmp(state_text(), "open") != 0; i++)
        swtpm_sleep_ms(20);
    assert_string_equal(state_text(), "open");
}

static void test_issue(void **unused)
{
    (void)unused;
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    assert_int_equal(count_events("lease.issued"), 0);
    assert_lh_ok(sign_with(peer, "sign"));
    assert_lh_ok(sign_with(peer, "sign"));
    assert_int_equal(count_events("lease.issued"), 1);
    assert_lh_ok(sign_with(peer, "once"));
    assert_int_equal(count_events("lease.issued"), 2);
    /* A mechanism that the role does not allow is refused and logged, lease or no lease. */
    uint64_t handle = handle_of(peer, "sign", CKO_PRIVATE_KEY);
    assert_lh_refused(
        use_key(peer, handle, "ecdsa-sha384", LH_USE_SIGN), LH_E_DENIED, "mechanism-not-allowed");
    assert_int_equal(count_events("lease.refused"), 1);
    assert_lh_refused(use_key(peer, 12345, "ecdsa-sha256", LH_USE_SIGN), LH_E_GONE, "lease-ended");
    /* Another connection of the same process has the same lease. */
    lh_peer *second = peer_of(getpid(), answers_wrong, NULL);
    assert_int_equal(handle_of(second, "sign", CKO_PRIVATE_KEY), handle);
    assert_lh_ok(sign_with(second, "sign"));
    lh_peer_unref(second);
    lh_peer_unref(peer);
}

static void test_uses(void **unused)
{
    (void)unused;
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    for (int i = 0; i < 20; i++)
        assert_lh_ok(sign_with(peer, "counted"));
    assert_lh_refused(sign_with(peer, "counted"), LH_E_DENIED, "lease-spent");
    assert_int_equal(count_events("lease.issued"), 1);
    assert_int_equal(count_events("lease.uses"), 9); /* blocks of two, the first with the lease */
    /* A restart gives no use back. */
    lh_peer_unref(peer);
    close_vault();
    open_vault();
    peer = peer_of(getpid(), answers, NULL);
    assert_lh_refused(sign_with(peer, "counted"), LH_E_DENIED, "lease-spent");
    lh_peer_unref(peer);
}

/* Reference values that ask for logs, of a host that has none: refused, not passed over. */
static void test_self_with_logs(void **unused)
{
    (void)unused;
    govern_ok("reference.set",
        "references:\n  other:\n    event_log: true\n    pcrs:\n      7: "
        "[\"sha256:0000000000000000000000000000000000000000000000000000000000000000\"]\nself:\n  reference: "
        "other\n");
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    assert_lh_refused(sign_with(peer, "sign"), LH_E_ATTESTATION, "self-no-event-log");
    assert_int_equal(count_events("lease.issued"), 0);
    lh_peer_unref(peer);
}

static void test_refused_without_evidence(void **unused)
{
    (void)unused;
    lh_peer *peer = peer_of(getpid(), answers_wrong, NULL);
    assert_lh_refused(sign_with(peer, "sign"), LH_E_ATTESTATION, "challenge-wrong");
    assert_null(lease_of(getpid(), "sign"));
    lh_peer_unref(peer);
    peer = peer_of(getpid(), answers, NULL);
    govern_ok("reference.set",
        "references:\n  other:\n    pcrs:\n      7: "
        "[\"sha256:1111111111111111111111111111111111111111111111111111111111111111\"]\nself:\n  reference: "
        "other\n");
    lh_err err = sign_with(peer, "sign");
    assert_int_equal(err.code, LH_E_ATTESTATION);
    assert_int_equal(strncmp(lh_err_last()->reason, "evidence-", 9), 0);
    assert_null(lease_of(getpid(), "sign"));
    assert_int_equal(count_events("lease.issued"), 0);
    set_references();
    assert_lh_ok(sign_with(peer, "sign"));
    lh_peer_unref(peer);
}

/* No TPM in the middle: refused, nothing written; goes on when it is back. */
static void test_tpm_away(void **unused)
{
    (void)unused;
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    swtpm_kill(&w.tpm);
    lh_err err = sign_with(peer, "sign");
    assert_int_equal(err.code, LH_E_TPM);
    assert_int_equal(count_events("lease.issued"), 0);
    /* A hold takes effect all the same; that it is not anchored is said, and nothing is issued until it is.
     */
    json_t *reply = govern("hold.place", "{\"role\":\"once\"}");
    assert_string_equal(text_of(json_object_get(reply, "error"), "reason"), "anchor-behind");
    json_decref(reply);
    swtpm_run(&w.tpm);
    lh_tpm_close(swtpm_open(&w.tpm));
    for (int i = 0; i < 400 && w.vault->anchor_behind; i++)
        swtpm_sleep_ms(20);
    assert_lh_ok(sign_with(peer, "sign"));
    assert_lh_refused(sign_with(peer, "once"), LH_E_DENIED, "hold");
    lh_peer_unref(peer);
}

static void test_hold(void **unused)
{
    (void)unused;
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    uint64_t handle = handle_of(peer, "sign", CKO_PRIVATE_KEY);
    lh_grip grip = {0};
    assert_lh_ok(get_grip(peer, handle, "ecdsa-sha256", LH_USE_SIGN, &grip));
    assert_lh_ok(lh_grip_check(&grip));
    json_t *reply = govern("hold.place", "{\"role\":\"sign\"}");
    assert_string_equal(text_of(reply, "state"), "executed");
    char hold[64];
    snprintf(hold, sizeof(hold), "{\"hold\":\"%s\"}", text_of(json_object_get(reply, "result"), "hold"));
    json_decref(reply);
    assert_lh_refused(lh_grip_check(&grip), LH_E_GONE, "lease-ended");
    uint8_t id[LH_LEASE_ID_SIZE];
    memcpy(id, lh_lease_terms_of(grip.lease)->id, sizeof(id));
    lh_grip_release(&grip);
    assert_lh_refused(use_key(peer, handle, "ecdsa-sha256", LH_USE_SIGN), LH_E_DENIED, "hold");
    assert_int_equal(wait_stored(id, LH_LEASE_ENDED), LH_LEASE_ENDED);
    govern_ok("hold.lift", hold);
    assert_lh_ok(use_key(peer, handle, "ecdsa-sha256", LH_USE_SIGN));
    lh_peer_unref(peer);
}

/* As if the daemon had died before the keeper wrote the end of a held lease. */
static lh_err write_back(lh_record_txn *txn, void *lease)
{
    return lh_lease_write(txn, lease, NULL);
}

static void write_as_live(const lh_lease *lease)
{
    lh_lease *live = NULL;
    assert_lh_ok(lh_lease_new(lh_lease_terms_of(lease), NULL, &live));
    lh_lease_restore_uses(live, lh_lease_reserved(lease));
    lh_lease_set_live(live, lh_lease_expires_boot_ms(lease));
    assert_lh_ok(lh_records_write(w.vault->core->records, write_back, live));
    lh_lease_unref(live);
}

static void test_held_lease_stays_ended_after_crash(void **unused)
{
    (void)unused;
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    assert_lh_ok(sign_with(peer, "sign"));
    lh_lease *lease = lease_of(getpid(), "sign");
    govern_ok("hold.place", "{\"role\":\"sign\"}");
    assert_int_equal(wait_stored(lh_lease_terms_of(lease)->id, LH_LEASE_ENDED), LH_LEASE_ENDED);
    write_as_live(lease);
    lh_lease_unref(lease);
    lh_peer_unref(peer);
    close_vault();
    open_vault();
    lease = lease_of(getpid(), "sign");
    if (lease)
        assert_int_equal(lh_lease_state_of(lease), LH_LEASE_ENDED);
    lh_lease_unref(lease);
    peer = peer_of(getpid(), answers, NULL);
    assert_lh_refused(sign_with(peer, "sign"), LH_E_DENIED, "hold");
    lh_peer_unref(peer);
}

/* The lease ends while its renewal is written: what the renewal wrote does not bring it back. */
static lh_err ends_lease(lh_record_txn *txn, void *arg)
{
    (void)txn;
    lh_lease **lease = arg;
    if (!*lease)
        return LH_SUCCESS;
    pthread_mutex_lock(&w.vault->mutex);
    lh_vault_lease_end(w.vault, *lease, "ended");
    pthread_mutex_unlock(&w.vault->mutex);
    *lease = NULL;
    return LH_SUCCESS;
}

/* It ends while its process is challenged: nothing is left to renew, and what follows is a lease of its own.
 */
static lh_err ends_before_answer(void *arg, const uint8_t nonce[32])
{
    (void)nonce;
    return ends_lease(NULL, arg);
}

static void test_end_during_challenge(void **unused)
{
    (void)unused;
    lh_lease *ends = NULL;
    lh_peer *peer = peer_of(getpid(), ends_before_answer, &ends);
    uint64_t handle = handle_of(peer, "short", CKO_PRIVATE_KEY);
    assert_lh_ok(use_key(peer, handle, "eddsa", LH_USE_SIGN));
    lh_lease *first = lease_of(getpid(), "short");
    swtpm_sleep_ms(1100);
    ends = first;
    assert_lh_ok(use_key(peer, handle, "eddsa", LH_USE_SIGN));
    assert_int_equal(count_events("lease.renewed"), 0);
    assert_int_equal(count_events("lease.issued"), 2);
    assert_int_equal(wait_stored(lh_lease_terms_of(first)->id, LH_LEASE_ENDED), LH_LEASE_ENDED);
    lh_lease_unref(first);
    lh_peer_unref(peer);
}

static void test_end_during_renewal(void **unused)
{
    (void)unused;
    lh_lease *ends = NULL;
    lh_vault_keeper_stop(w.vault);
    const lh_record_listener listener = {.before_commit = ends_lease, .arg = &ends};
    assert_lh_ok(lh_records_add_listener(w.vault->core->records, &listener));
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    uint64_t handle = handle_of(peer, "short", CKO_PRIVATE_KEY);
    assert_lh_ok(use_key(peer, handle, "eddsa", LH_USE_SIGN));
    lh_lease *lease = lease_of(getpid(), "short");
    swtpm_sleep_ms(1100);
    ends = lease;
    const lh_peer_use use = {handle, lh_mechanism_by_name("eddsa"), LH_USE_SIGN};
    assert_lh_refused(lh_peer_prepare(peer, &use), LH_E_GONE, "lease-ended");
    assert_int_equal(count_events("lease.renewed"), 1);
    (void)lh_vault_leases_sweep(w.vault);
    lh_records_remove_listener(w.vault->core->records, &ends);
    assert_int_equal(wait_stored(lh_lease_terms_of(lease)->id, LH_LEASE_ENDED), LH_LEASE_ENDED);
    lh_lease_unref(lease);
    lease = NULL;
    lh_peer_unref(peer);
}

static void test_renewal(void **unused)
{
    (void)unused;
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    uint64_t handle = handle_of(peer, "short", CKO_PRIVATE_KEY);
    assert_lh_ok(use_key(peer, handle, "eddsa", LH_USE_SIGN));
    lh_lease *lease = lease_of(getpid(), "short");
    for (int i = 0; i < 150 && count_events("lease.expired") == 0; i++)
        swtpm_sleep_ms(20);
    assert_int_equal(count_events("lease.expired"), 1);
    assert_int_equal(stored_state(lh_lease_terms_of(lease)->id), LH_LEASE_EXPIRED);
    assert_lh_ok(use_key(peer, handle, "eddsa", LH_USE_SIGN));
    assert_int_equal(count_events("lease.issued"), 1);
    assert_int_equal(count_events("lease.renewed"), 1);
    assert_int_equal(stored_state(lh_lease_terms_of(lease)->id), LH_LEASE_LIVE);
    lh_lease_unref(lease);
    lh_peer_unref(peer);
}

static void test_seal_and_unseal(void **unused)
{
    (void)unused;
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    uint64_t handle = handle_of(peer, "sign", CKO_PRIVATE_KEY);
    lh_grip grip = {0};
    assert_lh_ok(get_grip(peer, handle, "ecdsa-sha256", LH_USE_SIGN, &grip));
    govern_ok("vault.seal", "{}");
    assert_string_equal(state_text(), "sealed");
    assert_lh_refused(lh_grip_check(&grip), LH_E_GONE, "lease-ended");
    lh_grip_release(&grip);
    assert_lh_refused(use_key(peer, handle, "ecdsa-sha256", LH_USE_SIGN), LH_E_STATE, "sealed-by-officer");
    lh_peer_unref(peer);
    close_vault();
    open_vault();
    assert_string_equal(state_text(), "sealed");
    govern_ok("vault.unseal", "{}");
    assert_string_equal(state_text(), "open");
    peer = peer_of(getpid(), answers, NULL);
    assert_int_equal(handle_of(peer, "sign", CKO_PRIVATE_KEY), handle);
    assert_null(lease_of(getpid(), "sign"));
    assert_lh_ok(use_key(peer, handle, "ecdsa-sha256", LH_USE_SIGN));
    assert_int_equal(count_events("lease.issued"), 2);
    lh_peer_unref(peer);
}

/* More leases than the keeper writes in one transaction: sealing ends every one, in the store too. */
#define MANY 600

static lh_err write_many(lh_record_txn *txn, void *arg)
{
    lh_lease **leases = arg;
    const lh_lease_proof none = {0};
    for (size_t i = 0; i < MANY; i++)
        LH_TRY(lh_lease_write(txn, leases[i], &none));
    return LH_SUCCESS;
}

static lh_err count_unended(const lh_record_id *id, lh_bytes plain, void *arg)
{
    (void)id;
    lh_lease_record r;
    LH_TRY(lh_lease_decode(plain, &r));
    *(size_t *)arg += r.state != LH_LEASE_ENDED;
    return LH_SUCCESS;
}

static void test_seal_ends_all(void **unused)
{
    (void)unused;
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    assert_lh_ok(sign_with(peer, "sign"));
    lh_lease *first = lease_of(getpid(), "sign");
    lh_lease *leases[MANY];
    pthread_mutex_lock(&w.vault->mutex);
    for (size_t i = 0; i < MANY; i++) {
        lh_lease_terms terms = *lh_lease_terms_of(first);
        lh_random(terms.id, sizeof(terms.id));
        assert_lh_ok(lh_lease_new(&terms, NULL, &leases[i]));
        lh_lease_set_live(leases[i], lh_lease_expires_boot_ms(first));
        assert_lh_ok(lh_lease_table_add(w.vault->leases, leases[i]));
    }
    pthread_mutex_unlock(&w.vault->mutex);
    assert_lh_ok(lh_records_write(w.vault->core->records, write_many, leases));
    for (size_t i = 0; i < MANY; i++)
        lh_lease_unref(leases[i]);
    lh_lease_unref(first);
    lh_peer_unref(peer);
    govern_ok("vault.seal", "{}");
    govern_ok("vault.unseal", "{}");
    size_t unended = 0;
    assert_lh_ok(lh_record_each(w.vault->core->records, LH_RECORD_LEASE, count_unended, &unended));
    assert_int_equal(unended, 0);
    assert_int_equal(count_events("lease.ended"), MANY + 1);
}

static void test_restart(void **unused)
{
    (void)unused;
    pid_t stays = make_child(), goes = make_child();
    lh_peer *first = peer_of(stays, answers, NULL), *second = peer_of(goes, answers, NULL);
    assert_lh_ok(sign_with(first, "sign"));
    assert_lh_ok(sign_with(second, "sign"));
    uint64_t handle = handle_of(first, "sign", CKO_PRIVATE_KEY);
    lh_lease *lease = lease_of(goes, "sign");
    uint8_t gone[LH_LEASE_ID_SIZE];
    memcpy(gone, lh_lease_terms_of(lease)->id, sizeof(gone));
    lh_lease_unref(lease);
    lh_peer_unref(first);
    lh_peer_unref(second);
    close_vault();
    kill_child(goes);
    open_vault();
    assert_int_equal(wait_stored(gone, LH_LEASE_ENDED), LH_LEASE_ENDED);
    first = peer_of(stays, answers_wrong, NULL);
    assert_lh_ok(use_key(first, handle_of(first, "sign", CKO_PRIVATE_KEY), "ecdsa-sha256", LH_USE_SIGN));
    assert_int_equal(handle_of(first, "sign", CKO_PRIVATE_KEY), handle);
    assert_int_equal(count_events("lease.issued"), 2);
    assert_int_equal(count_events("lease.ended"), 1);
    lease = lease_of(stays, "sign");
    kill_child(stays);
    assert_int_equal(wait_stored(lh_lease_terms_of(lease)->id, LH_LEASE_ENDED), LH_LEASE_ENDED);
    assert_int_equal(count_events("lease.ended"), 2);
    lh_lease_unref(lease);
    lh_peer_unref(first);
}

/* An end is written once, whoever sweeps. */
static void *sweep_often(void *unused)
{
    (void)unused;
    for (int i = 0; i < 200; i++)
        (void)lh_vault_leases_sweep(w.vault);
    return NULL;
}

static void test_end_is_logged_once(void **unused)
{
    (void)unused;
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    pthread_t threads[4];
    for (int round = 0; round < 5; round++) {
        assert_lh_ok(sign_with(peer, "sign"));
        lh_lease *lease = lease_of(getpid(), "sign");
        char id[2 * LH_LEASE_ID_SIZE + 1];
        lh_hex(lh_lease_terms_of(lease)->id, LH_LEASE_ID_SIZE, id);
        lh_lease_unref(lease);
        for (size_t i = 0; i < 4; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, sweep_often, NULL), 0);
        json_decref(ask_ok(json_pack("{s:s, s:s}", "call", "lease.end", "id", id)));
        for (size_t i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(count_events("lease.ended"), round + 1);
    }
    lh_peer_unref(peer);
}

/* Clients that keep the vault busy without a pause do not keep an officer waiting. */
static void *read_on(void *arg)
{
    atomic_bool *stop = arg;
    while (!*stop) {
        pthread_rwlock_rdlock(&w.vault->core_lock);
        swtpm_sleep_ms(3);
        pthread_rwlock_unlock(&w.vault->core_lock);
    }
    return NULL;
}

static void test_officers_come_first(void **unused)
{
    (void)unused;
    pthread_t threads[8];
    atomic_bool stop = false;
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &stop), 0);
        swtpm_sleep_ms(1);
    }
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 3;
    int rc = pthread_rwlock_timedwrlock(&w.vault->core_lock, &until);
    if (rc == 0)
        pthread_rwlock_unlock(&w.vault->core_lock);
    stop = true;
    for (size_t i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(rc, 0);
}

/* Connections of one process and of another at once, while officers change what is in force. */
typedef struct {
    pid_t pid;
    atomic_bool *stop;
    atomic_int *signatures;
    atomic_int *wrong;
} client;

static void *be_client(void *arg)
{
    const client *c = arg;
    static const char *const roles[] = {"sign", "short", "once", "counted"};
    for (unsigned i = 0; !*c->stop; i++) {
        lh_peer *peer = peer_of(c->pid, answers, NULL);
        for (unsigned k = 0; k < 4; k++) {
            lh_err err = sign_with(peer, roles[(i + k) % 4]);
            bool expected = err.code == LH_E_GONE || err.code == LH_E_DENIED || err.code == LH_E_STATE;
            *c->signatures += lh_ok(err);
            *c->wrong += !lh_ok(err) && !expected;
        }
        lh_peer_unref(peer);
    }
    return NULL;
}

static void test_many_at_once(void **unused)
{
    (void)unused;
    pid_t child = make_child();
    atomic_bool stop = false;
    atomic_int signatures = 0, wrong = 0;
    client clients[] = {{getpid(), &stop, &signatures, &wrong}, {getpid(), &stop, &signatures, &wrong},
        {child, &stop, &signatures, &wrong}, {child, &stop, &signatures, &wrong}};
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, be_client, &clients[i]), 0);
    for (int i = 0; i < 3; i++) {
        json_t *reply = govern("hold.place", "{\"role\":\"sign\"}");
        char lift[96];
        snprintf(lift, sizeof(lift), "{\"hold\":\"%s\"}", text_of(json_object_get(reply, "result"), "hold"));
        json_decref(reply);
        govern_ok("hold.lift", lift);
        apply_policy(i % 2 ? "1s" : "2s");
    }
    govern_ok("vault.seal", "{}");
    govern_ok("vault.unseal", "{}");
    kill(child, SIGKILL); /* reaped after its connections have gone */
    swtpm_sleep_ms(200);
    stop = true;
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    waitpid(child, NULL, 0);
    assert_true(signatures > 0);
    assert_int_equal(wrong, 0);
    json_t *reply = ask_ok(json_pack("{s:s}", "call", "log.verify"));
    assert_true(json_is_true(json_object_get(reply, "good")));
    json_decref(reply);
}

#define EMPTY(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)
#define SERVED(test) cmocka_unit_test_setup_teardown(test, served_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EMPTY(test_nothing_before_founding),
        EMPTY(test_cut_off_before_first_anchor),
        EMPTY(test_cut_off_init),
        EMPTY(test_opens_when_tpm_is_back),
        EMPTY(test_officers_come_first),
        SERVED(test_issue),
        SERVED(test_uses),
        SERVED(test_self_with_logs),
        SERVED(test_refused_without_evidence),
        SERVED(test_tpm_away),
        SERVED(test_hold),
        SERVED(test_held_lease_stays_ended_after_crash),
        SERVED(test_end_during_renewal),
        SERVED(test_end_during_challenge),
        SERVED(test_renewal),
        SERVED(test_seal_and_unseal),
        SERVED(test_seal_ends_all),
        SERVED(test_restart),
        SERVED(test_end_is_logged_once),
        SERVED(test_many_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
