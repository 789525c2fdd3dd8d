/* Keys in hosts' TPMs, the vault's side: what is refused, and until when uses are approved. The host is a
 * thread with a TPM that answers as a test lets it. */
#include "host_fixture.h"

#include "tpm/lease_key.h"
#include "vault/custody.h"

#define FRAMES 256
#define FRESHNESS 2

/* What the host makes of the vault's question for its storage key and time. */
enum answer { HONEST, SILENT, UNABLE, REPLAYED };

static struct {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    lh_link_storage_ask asked[FRAMES];
    size_t head, tail;
    bool stopping;
    bool busy;
    _Atomic(enum answer) answer;
    /* What else came. */
    unsigned keys, approvals, withdrawn;
    uint32_t last_expiration;
    uint32_t pin_index;
    char reason[64]; /* of the last withdrawal */
} host;

static void on_frame(void *arg, uint32_t stream, uint8_t type, lh_bytes body)
{
    (void)arg;
    (void)stream;
    lh_link_any any;
    const lh_link_frame frame = {lh_link_find(type), stream, body};
    assert_lh_ok(lh_link_decode_body(&frame, &any));
    pthread_mutex_lock(&host.mutex);
    if (type == LH_LINK_STORAGE_ASK) {
        assert_true(host.tail - host.head < FRAMES);
        host.asked[host.tail++ % FRAMES] = any.storage_ask;
        pthread_cond_broadcast(&host.wake);
    } else if (type == LH_LINK_LEASE_KEY) {
        host.keys++;
        host.last_expiration = any.lease_key.expiration;
        host.pin_index = any.lease_key.pin_index;
    } else if (type == LH_LINK_APPROVAL) {
        host.approvals++;
        host.last_expiration = any.approval.expiration;
    } else if (type == LH_LINK_WITHDRAW) {
        host.withdrawn++;
        snprintf(host.reason, sizeof(host.reason), "%s", any.withdraw.reason);
    }
    pthread_mutex_unlock(&host.mutex);
}

static void answer(const lh_link_storage_ask *ask)
{
    lh_buf parts[5];
    uint8_t nonce[32];
    lh_link_any any = {0};
    enum answer how = atomic_load(&host.answer);
    for (size_t i = 0; i < LH_ARRAY_LEN(parts); i++)
        parts[i] = LH_BUF_INIT(1024);
    memcpy(nonce, ask->nonce, 32);
    if (how == REPLAYED)
        nonce[0] ^= 1;
    if (how == UNABLE) {
        snprintf(any.storage.reason, sizeof(any.storage.reason), "tpm-error");
    } else if (how != SILENT) {
        if (ask->storage)
            assert_lh_ok(lh_tpm_storage_certify(web1.tpm, nonce, &parts[0], &parts[1], &parts[2]));
        assert_lh_ok(lh_tpm_get_time(web1.tpm, nonce, &parts[3], &parts[4]));
        any.storage.storage_public = lh_buf_bytes(&parts[0]);
        any.storage.certify = lh_buf_bytes(&parts[1]);
        any.storage.certify_signature = lh_buf_bytes(&parts[2]);
        any.storage.time = lh_buf_bytes(&parts[3]);
        any.storage.time_signature = lh_buf_bytes(&parts[4]);
    }
    if (how != SILENT)
        assert_lh_ok(lh_host_link_custody(web1.link, LH_LINK_STORAGE, &any));
    for (size_t i = 0; i < LH_ARRAY_LEN(parts); i++)
        lh_buf_free(&parts[i]);
}

static void *host_main(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&host.mutex);
    while (!host.stopping) {
        if (host.head == host.tail) {
            pthread_cond_wait(&host.wake, &host.mutex);
            continue;
        }
        const lh_link_storage_ask ask = host.asked[host.head++ % FRAMES];
        host.busy = true;
        pthread_mutex_unlock(&host.mutex);
        answer(&ask);
        pthread_mutex_lock(&host.mutex);
        host.busy = false;
    }
    pthread_mutex_unlock(&host.mutex);
    return NULL;
}

static unsigned count_of(const unsigned *counter)
{
    pthread_mutex_lock(&host.mutex);
    unsigned n = *counter;
    pthread_mutex_unlock(&host.mutex);
    return n;
}

static void set_custody_policy(int freshness)
{
    char text[4096];
    snprintf(text, sizeof(text),
        "trust_domain: test.example\n"
        "workloads:\n"
        "  - { id: " ME ", attest: { uid: %u, host: { env: prod }, freshness: %ds } }\n"
        "roles:\n" ROLE("sign", "workload", "ec-p256", "ecdsa-sha256", ", custody: tpm")
            ROLE("few", "workload", "ec-p256", "ecdsa-sha256", ", uses: 3, custody: tpm")
                ROLE("rsa", "workload", "rsa-2048", "sha256-rsa-pkcs",
                    ", custody: tpm") "grants:\n"
                                      "  - { workload: " ME ", role: sign }\n  - { workload: " ME
                                      ", role: few }\n"
                                      "  - { workload: " ME ", role: rsa }\n",
        (unsigned)getuid(), freshness);
    govern_ok("policy.apply", text);
}

/* One application on web-1, whose key is asked for. */
static agent_stream *stream;
static lh_peer *peer;

static int setup(void **state)
{
    (void)state;
    memset(&host, 0, sizeof(host));
    pthread_mutex_init(&host.mutex, NULL);
    pthread_cond_init(&host.wake, NULL);
    web1.send = on_frame;
    agent_connect(&web1);
    stream = agent_open(&web1, 4711);
    peer = agent_peer(stream);
    assert_int_equal(pthread_create(&host.thread, NULL, host_main, NULL), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pthread_mutex_lock(&host.mutex);
    host.stopping = true;
    pthread_cond_broadcast(&host.wake);
    pthread_mutex_unlock(&host.mutex);
    pthread_join(host.thread, NULL);
    lh_peer_unref(peer);
    if (web1.link)
        agent_disconnect(&web1);
    pthread_mutex_destroy(&host.mutex);
    pthread_cond_destroy(&host.wake);
    return 0;
}

static lh_err take_key(const char *role, lh_grip *ret)
{
    const char *mechanism = strcmp(role, "rsa") == 0 ? "sha256-rsa-pkcs" : "ecdsa-sha256";
    return get_grip(peer, handle_of(peer, role, CKO_PRIVATE_KEY), mechanism, LH_USE_SIGN, ret);
}

/* As the dispatcher does where a key is used in the host's TPM. */
static lh_err give(const char *role)
{
    lh_grip grip = {0};
    LH_TRY(take_key(role, &grip));
    assert_true(grip.in_tpm);
    lh_err err = lh_custody_give(peer, handle_of(peer, role, CKO_PRIVATE_KEY), &grip, 1);
    const lh_err_detail d = *lh_err_last();
    lh_grip_release(&grip);
    return lh_ok(err) ? err : lh_err_raise(d.code, d.foreign, d.file, d.line, d.reason, "%s", d.message);
}

/* Its host, with hosts->mutex held. */
static lh_host *locked(void)
{
    pthread_mutex_lock(&w.vault->hosts->mutex);
    lh_host *h = lh_hosts_find(w.vault->hosts, "web-1");
    assert_non_null(h);
    return h;
}

static void unlock(void)
{
    pthread_mutex_unlock(&w.vault->hosts->mutex);
}

/* What the vault knows of the host's time is too old. */
static void forget_time(void)
{
    locked()->custody.time_at_ms = 0;
    unlock();
}

/* --- given ------------------------------------------------------------------------------------------------
 */

static void test_given(void **state)
{
    (void)state;
    assert_lh_ok(give("sign"));
    assert_int_equal(count_of(&host.keys), 1);
    assert_lh_ok(give("sign"));
    assert_int_equal(host.pin_index, 0);
    assert_lh_ok(give("few"));
    assert_true(host.pin_index != 0);
    assert_lh_ok(give("rsa"));
    assert_int_equal(count_of(&host.keys), 4);
    for (int i = 0; i < 100 && count_events("lease.in-tpm") < 4; i++)
        swtpm_sleep_ms(20);
    assert_int_equal(count_events("lease.in-tpm"), 4);
}

static void test_timeout(void **state)
{
    (void)state;
    atomic_store(&host.answer, SILENT);
    const int64_t begun = lh_clock_boot_ms();
    assert_lh_refused(give("sign"), LH_E_TIMEOUT, "custody-timeout");
    assert_true(lh_clock_boot_ms() - begun >= LH_CUSTODY_WAIT_MS);
    atomic_store(&host.answer, HONEST);
    assert_lh_ok(give("sign"));
    assert_int_equal(count_of(&host.keys), 1);
}

static void test_tpm(void **state)
{
    (void)state;
    atomic_store(&host.answer, UNABLE);
    assert_lh_refused(give("sign"), LH_E_ATTESTATION, "custody-tpm");
    atomic_store(&host.answer, REPLAYED);
    assert_lh_refused(give("sign"), LH_E_ATTESTATION, "storage-key-nonce");
    atomic_store(&host.answer, HONEST);
    assert_lh_ok(give("sign"));
    atomic_store(&host.answer, REPLAYED);
    forget_time();
    assert_lh_refused(give("sign"), LH_E_ATTESTATION, "time-nonce");
    assert_int_equal(count_of(&host.keys), 1);
    /* Another frame than these two is none of a host's. */
    const lh_link_any any = {0};
    assert_lh_refused(
        lh_host_link_custody(web1.link, LH_LINK_LEASE_KEY, &any), LH_E_PROTOCOL, "link-protocol");
}

/* Good evidence, then a reset that the evidence does not tell of: the counts are not those of the time. */
static void test_reset(void **state)
{
    (void)state;
    lh_grip grip = {0};
    assert_lh_ok(give("sign"));
    assert_lh_ok(take_key("sign", &grip));
    agent_deafen(&web1, true);
    agent_stop_chip(&web1);
    swtpm_kill(&web1.chip);
    swtpm_run(&web1.chip);
    agent_start_chip(&web1);
    forget_time();
    const uint64_t handle = handle_of(peer, "sign", CKO_PRIVATE_KEY);
    assert_lh_refused(lh_custody_give(peer, handle, &grip, 1), LH_E_ATTESTATION, "custody-reset");
    assert_int_equal(count_of(&host.keys), 1);
    lh_grip_release(&grip);
    agent_deafen(&web1, false);
    /* The lease ends by the evidence that tells of it; then there is another. */
    lh_lease *lease = remote_lease(stream, "sign");
    if (lease)
        assert_string_equal(wait_ended(lease, 5000), "reboot");
    lh_lease_unref(lease);
    assert_lh_ok(give("sign"));
}

/* The evidence is as old as policy allows: less than a second is left. */
static void test_stale(void **state)
{
    (void)state;
    lh_grip grip = {0};
    assert_lh_ok(give("sign"));
    assert_lh_ok(take_key("sign", &grip));
    agent_deafen(&web1, true);
    const uint64_t handle = handle_of(peer, "sign", CKO_PRIVATE_KEY);
    locked()->good_ms = lh_clock_boot_ms() - FRESHNESS * 1000 + 100;
    unlock();
    assert_lh_refused(lh_custody_give(peer, handle, &grip, 1), LH_E_ATTESTATION, "custody-stale");
    assert_int_equal(count_of(&host.keys), 1);
    lh_grip_release(&grip);
    agent_deafen(&web1, false);
}

/* A host has so many indexes that count, and no more. */
static void test_indexes(void **state)
{
    (void)state;
    static lh_custody_lease taken[LH_LEASE_KEY_PIN_COUNT];
    lh_grip grip = {0};
    assert_lh_ok(give("sign"));
    lh_lease *other = remote_lease(stream, "sign");
    assert_lh_ok(take_key("few", &grip));
    const uint64_t handle = handle_of(peer, "few", CKO_PRIVATE_KEY);
    lh_host *h = locked();
    lh_custody_lease *before = h->custody.leases;
    for (size_t i = 0; i < LH_ARRAY_LEN(taken); i++)
        taken[i] = (lh_custody_lease){.next = i + 1 < LH_ARRAY_LEN(taken) ? &taken[i + 1] : before,
            .lease = other,
            .terms.pin_index = LH_LEASE_KEY_PIN_BASE + (uint32_t)i};
    h->custody.leases = taken;
    unlock();
    assert_lh_refused(lh_custody_give(peer, handle, &grip, 1), LH_E_LIMIT, "custody-indexes");
    h = locked();
    h->custody.leases = before;
    unlock();
    assert_lh_ok(lh_custody_give(peer, handle, &grip, 1));
    assert_true(host.pin_index >= LH_LEASE_KEY_PIN_BASE);
    lh_grip_release(&grip);
    lh_lease_unref(other);
}

/* --- approved, and no longer ------------------------------------------------------------------------------
 */

/* Approvals come while the evidence is renewed. */
static void wait_approved(unsigned more)
{
    const unsigned before = count_of(&host.approvals);
    for (int i = 0; i < 500 && count_of(&host.approvals) < before + more; i++)
        swtpm_sleep_ms(20);
    assert_true(count_of(&host.approvals) >= before + more);
}

/* No approval comes from now on. */
static void assert_no_more(const char *reason)
{
    for (int i = 0; i < 150 && count_of(&host.withdrawn) == 0; i++)
        swtpm_sleep_ms(20);
    assert_int_equal(count_of(&host.withdrawn), 1);
    assert_string_equal(host.reason, reason);
    const unsigned before = count_of(&host.approvals);
    swtpm_sleep_ms(600);
    assert_int_equal(count_of(&host.approvals), before);
}

/* TPM Time of web-1 by what the vault was told of it last. */
static int64_t time_at(int64_t boot_ms)
{
    lh_host *h = locked();
    const int64_t time = (int64_t)h->custody.time.time_ms + boot_ms - h->custody.time_at_ms;
    unlock();
    return time;
}

static void test_evidence_ends_it(void **state)
{
    (void)state;
    assert_lh_ok(give("sign"));
    wait_approved(2);
    agent_deafen(&web1, true);
    const int64_t good = locked()->good_ms;
    unlock();
    assert_no_more("evidence-stale");
    /* No approval was for longer than the evidence is good for; the TPM adds less than a second. */
    assert_true((int64_t)host.last_expiration * 1000 <= time_at(good + FRESHNESS * 1000));
    agent_deafen(&web1, false);
}

/* The one hold there is. */
static void lift(void)
{
    char params[128];
    json_t *reply = ask_ok(json_pack("{s:s}", "call", "holds"));
    snprintf(params, sizeof(params), "{\"hold\":\"%s\"}",
        text_of(json_array_get(json_object_get(reply, "holds"), 0), "id"));
    json_decref(reply);
    govern_ok("hold.lift", params);
}

static void test_hold_ends_it(void **state)
{
    (void)state;
    assert_lh_ok(give("sign"));
    wait_approved(1);
    govern_ok("hold.place", "{\"role\":\"sign\"}");
    assert_no_more("held");
    assert_lh_refused(give("sign"), LH_E_DENIED, "hold");
    lift();
    assert_lh_ok(give("sign"));
}

static void test_revocation_ends_it(void **state)
{
    (void)state;
    char params[128], hex[33];
    assert_lh_ok(give("sign"));
    wait_approved(1);
    lh_lease *lease = remote_lease(stream, "sign");
    lh_hex(lh_lease_terms_of(lease)->id, LH_LEASE_ID_SIZE, hex);
    snprintf(params, sizeof(params), "{\"lease\":\"%s\"}", hex);
    govern_ok("lease.revoke", params);
    assert_no_more("held"); /* nothing is issued in its place until a quorum lifts that */
    lh_lease_unref(lease);
    lift();
    assert_lh_ok(give("sign"));
}

/* The host's PCRs change: its evidence is refused, the lease ends. */
static void test_drift_ends_it(void **state)
{
    (void)state;
    static const uint8_t digest[32] = "something that nobody knows";
    assert_lh_ok(give("sign"));
    wait_approved(1);
    assert_lh_ok(lh_tpm_pcr_extend(web1.tpm, 7, digest));
    assert_no_more("evidence-pcr");
    assert_false(lh_ok(give("sign")));
    agent_deafen(&web1, true);
    agent_stop_chip(&web1);
    swtpm_kill(&web1.chip);
    swtpm_run(&web1.chip);
    agent_start_chip(&web1);
    agent_deafen(&web1, false);
    assert_lh_ok(give("sign"));
}

/* The last one: web-1 is not enrolled any more. */
static void test_retiring_ends_it(void **state)
{
    (void)state;
    assert_lh_ok(give("sign"));
    wait_approved(1);
    govern_ok("host.retire", "{\"name\":\"web-1\"}");
    const unsigned before = count_of(&host.approvals);
    swtpm_sleep_ms(600);
    assert_int_equal(count_of(&host.approvals), before);
    assert_false(lh_ok(give("sign")));
    assert_int_equal(count_of(&host.keys), 1);
}

static int custody_group(void **state)
{
    group_setup(state);
    set_custody_policy(FRESHNESS);
    return 0;
}

#undef CASE
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {CASE(test_given), CASE(test_timeout), CASE(test_tpm), CASE(test_reset),
        CASE(test_stale), CASE(test_indexes), CASE(test_evidence_ends_it), CASE(test_hold_ends_it),
        CASE(test_revocation_ends_it), CASE(test_drift_ends_it), CASE(test_retiring_ends_it)};
    return cmocka_run_group_tests(tests, custody_group, group_teardown);
}
