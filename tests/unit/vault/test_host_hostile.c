/* Hosts that are enrolled and do what harms: a verdict by rules that are no longer in force, a full log,
 * names that do not print. */
#include "host_fixture.h"

#include "vault/custody.h"

/* --- rules that change while evidence is weighed -----------------------------------------------------------
 */

typedef struct {
    lh_peer *peer;
    lh_err err;
    char reason[64];
} signer;

static void *sign_thread(void *arg)
{
    signer *s = arg;
    s->err = sign_with(s->peer, "sign");
    snprintf(s->reason, sizeof(s->reason), "%s", lh_ok(s->err) ? "" : lh_err_last()->reason);
    return NULL;
}

/* Evidence that came before the reference values changed, and waits for its turn, is weighed by those in
 * force then. */
static void test_references_change_meanwhile(void **unused)
{
    (void)unused;
    agent_stream *s = agent_open(&web1, 4711);
    signer signing = {.peer = agent_peer(s)};
    pthread_t thread;
    pthread_mutex_lock(&w.vault->hosts->mutex);
    lh_host *host = lh_hosts_find(w.vault->hosts, "web-1");
    pthread_mutex_unlock(&w.vault->hosts->mutex);
    pthread_mutex_lock(&host->appraising);
    assert_int_equal(pthread_create(&thread, NULL, sign_thread, &signing), 0);
    for (bool claimed = false; !claimed;) {
        swtpm_sleep_ms(20);
        pthread_mutex_lock(&web1.mutex);
        bool asked = web1.asked[1] > 0;
        pthread_mutex_unlock(&web1.mutex);
        pthread_mutex_lock(&w.vault->hosts->mutex);
        claimed = asked && web1.link->request_count == 0;
        pthread_mutex_unlock(&w.vault->hosts->mutex);
    }
    char text[512];
    snprintf(text, sizeof(text),
        "references:\n  vault:\n    pcrs: { 7: [\"%s\"] }\n"
        "  web:\n    pcrs: { 7: [\"%s\"], 16: [\"sha256:%064d\"] }\nself:\n  reference: vault\n",
        zero_pcr, zero_pcr, 1);
    govern_ok("reference.set", text);
    pthread_mutex_unlock(&host->appraising);
    pthread_join(thread, NULL);
    assert_int_equal(signing.err.code, LH_E_ATTESTATION);
    assert_string_equal(signing.reason, "evidence-pcr");
    set_reference(NULL);
    assert_lh_ok(sign_with(signing.peer, "sign"));
    lh_peer_unref(signing.peer);
}

/* --- the log ----------------------------------------------------------------------------------------------
 */

/* Another drift in each answer: an entry in ten seconds tells of it, with how many more there were. */
static void test_drift_is_told_seldom(void **unused)
{
    (void)unused;
    agent_stream *s = agent_open(&web2, 4711);
    lh_peer *peer = agent_peer(s);
    uint8_t digest[32] = {0};
    int before = count_events("host.drifted");
    for (int i = 0; i < 10; i++) {
        digest[0] = (uint8_t)(i + 1);
        assert_lh_ok(lh_tpm_pcr_extend(web2.tpm, 16, digest));
        assert_lh_refused(sign_with(peer, "sign"), LH_E_ATTESTATION, "evidence-pcr");
    }
    swtpm_sleep_ms(600);
    assert_int_equal(count_events("host.drifted"), before + 1);
    json_t *l = live("web-2"); /* of the last */
    assert_int_equal(json_array_size(json_object_get(l, "drift")), 1);
    json_decref(l);
    lh_peer_unref(peer);
}

/* --- names ------------------------------------------------------------------------------------------------
 */

/* A stream of a process whose names the host makes up is shown, without what a terminal or JSON takes for
 * something else. */
static void test_names_that_do_not_print(void **unused)
{
    (void)unused;
    lh_identity identity;
    agent_process(4711, &identity);
    snprintf(identity.unit, sizeof(identity.unit), "\xff\x1b[2Japp.service");
    snprintf(identity.exe_path, sizeof(identity.exe_path), "/\xfe\x1b[2J");
    agent_stream *s = agent_open_as(&web1, &identity);
    lh_peer *peer = agent_peer(s);
    assert_lh_ok(sign_with(peer, "sign"));
    json_t *l = live("web-1");
    const json_t *streams = json_object_get(l, "streams");
    assert_int_equal(json_array_size(streams), 1);
    assert_string_equal(text_of(json_array_get(streams, 0), "unit"), "??[2Japp.service");
    assert_string_equal(text_of(json_array_get(streams, 0), "exe"), "/??[2J");
    json_decref(l);
    assert_int_equal(count_entries("\"unit\":\"??[2Japp.service\""), 1);
    lh_peer_unref(peer);
}

/* --- memory -----------------------------------------------------------------------------------------------
 */

static lh_err send_log(agent *a, uint64_t offset, size_t len)
{
    lh_buf zeros = LH_BUF_INIT(1 << 23);
    assert_non_null(lh_buf_extend(&zeros, len));
    memset(zeros.data, 0, len);
    lh_err err = lh_host_link_log(a->link, LH_LOG_IMA, offset, lh_buf_bytes(&zeros));
    lh_buf_free(&zeros);
    return err;
}

static size_t wait_pending(size_t wanted)
{
    for (int i = 0; i < 100 && atomic_load(&w.vault->hosts->pending) != wanted; i++)
        swtpm_sleep_ms(20);
    return atomic_load(&w.vault->hosts->pending);
}

/* Logs that no quote is about: of all hosts together so much is kept, a little of each, and nothing of a host
 * that is gone. */
static void test_logs_that_wait_are_bounded(void **unused)
{
    (void)unused;
    w.vault->hosts->pending_max = 4 << 20;
    assert_lh_ok(send_log(&web1, 0, 3 << 20));
    assert_lh_ok(send_log(&web2, 0, 1 << 20));
    assert_int_equal(wait_pending(4 << 20), 4 << 20);
    assert_lh_refused(send_log(&web2, 1 << 20, 1), LH_E_LIMIT, "log-size");
    assert_lh_refused(send_log(&web1, 3 << 20, 1), LH_E_LIMIT, "log-size");
    agent_disconnect(&web1);
    assert_int_equal(wait_pending(1 << 20), 1 << 20);
    assert_lh_ok(send_log(&web2, 1 << 20, 3 << 20));
    agent_disconnect(&web2);
    assert_int_equal(wait_pending(0), 0);
    agent_connect(&web1);
    assert_lh_ok(send_log(&web1, 0, 4 << 20));
    w.vault->hosts->pending_max = LH_LIMIT_IMA_PENDING_ALL;
}

/* --- locks ------------------------------------------------------------------------------------------------
 */

typedef struct {
    lh_peer *peer;
    lh_lease *lease;
    lh_err err;
} taker;

static void *take_key(void *arg)
{
    taker *t = arg;
    const lh_grip grip = {.lease = t->lease};
    t->err = lh_custody_give(t->peer, 1, &grip, 1);
    return NULL;
}

/* A host that does not say which storage key its TPM has keeps no officer waiting, and with the officer
 * everybody. */
static void test_silence_holds_no_lock(void **unused)
{
    (void)unused;
    agent_stream *s = NULL;
    taker t = {0};
    pthread_t thread;
    t.lease = issued(&web1, 4711, &s, &t.peer);
    assert_int_equal(pthread_create(&thread, NULL, take_key, &t), 0);
    swtpm_sleep_ms(200);
    int64_t begun = lh_clock_boot_ms();
    pthread_rwlock_wrlock(&w.vault->core_lock);
    pthread_rwlock_unlock(&w.vault->core_lock);
    assert_in_range(lh_clock_boot_ms() - begun, 0, 1000);
    lh_host_stream_close(s->stream, "peer-exit"); /* else it waits its time */
    pthread_join(thread, NULL);
    assert_int_equal(t.err.code, LH_E_GONE);
    lh_peer_unref(t.peer);
    lh_lease_unref(t.lease);
}

/* --- streams ----------------------------------------------------------------------------------------------
 */

/* That one opens and closes streams does not have all leases gone through each time; one that had a lease
 * loses it. */
static void test_streams_without_leases(void **unused)
{
    (void)unused;
    agent_stream *s = NULL;
    lh_peer *peer = NULL;
    agent_stream *idle = agent_open(&web1, 4712);
    assert_false(atomic_load(&idle->stream->may_have_leases));
    lh_lease *lease = issued(&web1, 4711, &s, &peer);
    assert_true(atomic_load(&s->stream->may_have_leases));
    lh_host_stream_close(idle->stream, "peer-exit");
    assert_int_equal(lh_lease_state_of(lease), LH_LEASE_LIVE);
    lh_host_stream_close(s->stream, "peer-exit");
    assert_int_equal(lh_lease_state_of(lease), LH_LEASE_ENDED);
    assert_string_equal(lh_lease_reason(lease), "peer-exit");
    lh_peer_unref(peer);
    lh_lease_unref(lease);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_references_change_meanwhile),
        CASE(test_drift_is_told_seldom),
        CASE(test_names_that_do_not_print),
        CASE(test_logs_that_wait_are_bounded),
        CASE(test_silence_holds_no_lock),
        CASE(test_streams_without_leases),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
